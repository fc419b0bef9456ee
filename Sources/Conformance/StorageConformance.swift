public import Core
import BSON

/// What a storage engine did that its contract forbids.
public struct ConformanceViolation: Error, CustomStringConvertible {
    /// What does not hold.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The contract of `StorageEngine`, as a suite that any engine can be run through. No test framework is needed: a
/// violation is thrown.
///
/// An engine that answers `.notResident` is prefetched and asked again, as nodes do; so the suite also runs against
/// engines larger than memory, and against `NotResidentStorage`, which answers so at random.
public struct StorageConformance {
    private let makeEngine: () throws -> any StorageEngine
    let seed: UInt64
    private let steps: Int

    /// `makeEngine` makes a new, empty engine each time.
    public init(seed: UInt64 = 1, steps: Int = 3000, makeEngine: @escaping () throws -> any StorageEngine) {
        self.seed = seed
        self.steps = steps
        self.makeEngine = makeEngine
    }

    /// Runs every check on an engine of its own.
    public func run() async throws {
        try await onNewEngine { try await checkEmpty($0) }
        try await onNewEngine { try await checkBatches($0) }
        try await onNewEngine { try await checkOrder($0) }
        try await onNewEngine { try await checkLimits($0) }
        try await onNewEngine { try await checkMarks($0) }
        try await onNewEngine { try await checkAgainstModel($0) }
        try await onNewEngine { try checkManyReads($0.engine) }
        try await onNewEngine { try await checkPrefetching($0.engine) }
        try await onNewEngine { try await checkLogAtomicity($0) }
        try await onNewEngine { try await checkLogAgainstModel($0) }
        try await checkReopen()
        try await checkLogReopen(makeEngine())
    }

    private func onNewEngine(_ check: (EngineUnderTest) async throws -> Void) async throws {
        let engine = try makeEngine()
        try await engine.open()
        try await check(EngineUnderTest(engine))
        await engine.close()
    }

    private let table = TableID(rawValue: 20)
    private let other = TableID(rawValue: 21)

    /// A table that was never written reads as empty.
    private func checkEmpty(_ engine: EngineUnderTest) async throws {
        try expect(try await engine.get(table, [1]) == nil, "an unknown table holds a key")
        for direction in [ScanDirection.forward, .backward] {
            let rows = try await engine.scan(table, from: nil, direction: direction, limit: 10)
            try expect(rows.isEmpty, "an unknown table has rows")
        }
        try expect(
            engine.engine.statistics(table) == StorageTableStatistics(entries: 0, bytes: 0), "an unknown table counts")
        try engine.apply {
            $0.delete(table, key: [1]); $0.dropTable(other)
        }
    }

    /// Operations of a batch take effect in order, are seen at once, and tables do not mix.
    private func checkBatches(_ engine: EngineUnderTest) async throws {
        try engine.apply {
            $0.put(table, [1], [10])
            $0.put(table, [2], [])
            $0.put(other, [1], [30])
            $0.put(table, [3], [1])
            $0.delete(table, key: [3])
            $0.put(table, [1], [11])
        }
        try expect(try await engine.get(table, [1]) == [11], "the last put of a batch does not win")
        try expect(try await engine.get(table, [2]) == [], "an empty value is not found")
        try expect(try await engine.get(table, [3]) == nil, "a delete behind a put of one batch has no effect")
        try expect(try await engine.get(other, [1]) == [30], "tables mix")
        try engine.apply {
            $0.dropTable(table)
            $0.put(table, [9], [9])
        }
        let rows = try await engine.scan(table, from: nil, direction: .forward, limit: 10)
        try expect(rows == [Entry(key: [9], value: [9])], "a put behind a drop of one batch is lost, or old rows stay")
        try expect(try await engine.get(other, [1]) == [30], "a drop takes another table along")
        let size = engine.engine.statistics(table)
        try expect(size.entries == 1 && size.bytes == 2, "the statistics of a table are wrong: \(size)")
    }

    /// Keys are ordered as unsigned bytes, a prefix first, and every bound means what it says.
    private func checkOrder(_ engine: EngineUnderTest) async throws {
        let keys: [[UInt8]] = [[0], [0, 0], [0, 1], [1], [1, 0xFF], [2, 2], [0x7F], [0x80], [0xFF], [0xFF, 0]]
        try engine.apply { batch in for key in keys.reversed() { batch.put(table, key, key) } }
        let model = Dictionary(uniqueKeysWithValues: keys.map { ($0, $0) })
        let bounds: [[UInt8]] = keys + [[0, 0, 0], [1, 1], [3], [0xFF, 0xFF]]
        for direction in [ScanDirection.forward, .backward] {
            for limit in [1, 3, 100] {
                try await compareScan(engine, model, from: nil, direction: direction, limit: limit)
                for bound in bounds {
                    for including in [true, false] {
                        let bound = (key: bound, including: including)
                        try await compareScan(engine, model, from: bound, direction: direction, limit: limit)
                    }
                }
            }
        }
    }

    /// The longest key and a large value are stored.
    private func checkLimits(_ engine: EngineUnderTest) async throws {
        let key = [UInt8](repeating: 7, count: Limits.storageKeyBytesMax)
        let value = [UInt8](repeating: 8, count: Limits.storageValueBytesMax)
        try engine.apply {
            $0.put(table, key, value)
            $0.put(table, [7], [1])
        }
        try expect(try await engine.get(table, key) == value, "the largest entry is not found")
        let rows = try await engine.scan(table, from: ([7], false), direction: .forward, limit: 2)
        try expect(rows.count == 1 && rows[0].key == key, "the longest key is not in order")
    }

    /// Marks count batches, and what is flushed is durable.
    private func checkMarks(_ engine: EngineUnderTest) async throws {
        let store = engine.engine
        try expect(store.appliedMark == 0 && store.durableMark == 0, "a new engine's marks are not 0")
        for mark in 1...5 as ClosedRange<UInt64> {
            try engine.apply { $0.put(table, [UInt8(mark)], [1]) }
            try expect(store.appliedMark == mark, "the applied mark does not count batches")
            try expect(store.durableMark <= mark, "the durable mark is ahead")
        }
        try await store.flush(upTo: 5)
        try expect(store.durableMark >= 5, "a flush returned before the mark was durable")
        if !store.survivesRestart {
            try expect(store.durableMark == store.appliedMark, "a volatile engine has its marks apart")
        }
        try await store.checkpoint()
        try expect(try await engine.get(table, [3]) == [1], "a checkpoint loses a key")
    }

    /// Random batches, reads and scans agree with a dictionary.
    private func checkAgainstModel(_ engine: EngineUnderTest) async throws {
        var random = SplitMix64(seed: seed)
        var model: [TableID: [[UInt8]: [UInt8]]] = [table: [:], other: [:]]
        for step in 0..<steps {
            let target = random.below(4) == 0 ? other : table
            if random.below(3) == 0 {
                try engine.apply { batch in
                    for _ in 0...random.below(20) {
                        let key = randomKey(&random)
                        if random.below(3) == 0 {
                            batch.delete(target, key: key)
                            model[target]?[key] = nil
                        } else {
                            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: random.below(200))
                            batch.put(target, key, value)
                            model[target]?[key] = value
                        }
                    }
                    if random.below(200) == 0 {
                        batch.dropTable(target)
                        model[target] = [:]
                    }
                }
            } else if random.below(2) == 0 {
                let key = randomKey(&random)
                let found = try await engine.get(target, key)
                try expect(found == model[target]?[key], "step \(step): a point read of \(key) is wrong")
            } else {
                let bound = random.below(5) == 0 ? nil : (key: randomKey(&random), including: random.below(2) == 0)
                let direction = random.below(2) == 0 ? ScanDirection.forward : .backward
                try await compareScan(
                    engine, model[target] ?? [:], table: target, from: bound, direction: direction,
                    limit: 1 + random.below(30))
            }
        }
        try await engine.engine.flush(upTo: engine.engine.appliedMark)
        for (table, entries) in model {
            let size = engine.engine.statistics(table)
            let bytes = entries.reduce(0) { $0 + $1.key.count + $1.value.count }
            try expect(size.entries == entries.count && size.bytes == bytes, "the statistics are wrong: \(size)")
        }
    }

    /// A durable engine has everything after close and open; a volatile one says that it does not.
    private func checkReopen() async throws {
        let engine = try makeEngine()
        try await engine.open()
        let tested = EngineUnderTest(engine)
        try tested.apply { $0.put(table, [1], [2]) }
        await engine.close()
        try await engine.open()
        let found = try await tested.get(table, [1])
        try expect(
            found == (engine.survivesRestart ? [2] : nil), "after close and open a key is \(found.debugDescription)")
        await engine.close()
    }

    // MARK: Comparing

    private func randomKey(_ random: inout SplitMix64) -> [UInt8] {
        (0...random.below(4)).map { _ in [0, 1, 0x7F, 0x80, 0xFF][random.below(5)] }
    }

    private func compareScan(
        _ engine: EngineUnderTest, _ model: [[UInt8]: [UInt8]], table: TableID? = nil,
        from bound: (key: [UInt8], including: Bool)?, direction: ScanDirection, limit: Int
    ) async throws {
        var expected = model.map { Entry(key: $0.key, value: $0.value) }.sorted {
            $0.key.lexicographicallyPrecedes($1.key)
        }
        if direction == .backward { expected.reverse() }
        if let bound {
            expected.removeAll {
                if $0.key == bound.key { return !bound.including }
                return $0.key.lexicographicallyPrecedes(bound.key) == (direction == .forward)
            }
        }
        let found = try await engine.scan(table ?? self.table, from: bound, direction: direction, limit: limit)
        try expect(
            found == Array(expected.prefix(limit)),
            "a scan \(direction) from \(bound.map { "\($0)" } ?? "the start") gives \(found.count) wrong rows")
    }
}

func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
    if !condition { throw ConformanceViolation(what()) }
}
