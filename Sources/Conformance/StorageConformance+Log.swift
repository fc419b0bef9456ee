import BSON
import Core

/// The log of engines that keep one (`StorageEngine.log`), and that entries do no harm to the others.
extension StorageConformance {
    private static func optime(_ number: Int, term: Int64 = 1) -> OpTime {
        OpTime(term: term, timestamp: Timestamp(rawValue: 1000 + UInt64(number)))
    }

    private static func entry(_ optime: OpTime, payload: Int) -> [UInt8] {
        let document = Document {
            $0.append("op", string: "n")
            $0.append("ts", timestamp: optime.timestamp)
            $0.append("t", int64: optime.term)
            $0.append("o", string: String(repeating: "x", count: payload))
        }
        return document.withView { [UInt8]($0.bytes) }
    }

    /// A batch with one row and a run of entries.
    private static func batch(_ table: TableID, _ number: UInt8, _ entries: [(OpTime, [UInt8])]) -> WriteBatch {
        let batch = WriteBatch()
        batch.put(table, [1], [number])
        for (optime, bytes) in entries { bytes.withUnsafeBytes { batch.appendEntry($0, optime: optime) } }
        return batch
    }

    /// Tables and log change together, or neither does.
    func checkLogAtomicity(_ engine: EngineUnderTest) async throws {
        let table = TableID(rawValue: 24)
        let entries = (1...3).map { (Self.optime($0), Self.entry(Self.optime($0), payload: 10)) }
        try engine.engine.apply(Self.batch(table, 1, entries))
        try expect(try await engine.get(table, [1]) == [1], "a batch with entries does not change its tables")
        guard let log = engine.engine.log else {
            try expect(
                engine.engine.statistics(.oplog).entries == 0, "an engine without a log has put entries into a table")
            return
        }
        try expect(log.count == 3 && log.first == entries[0].0 && log.last == entries[2].0, "entries are missing")
        let applied = engine.engine.appliedMark
        for bad in [Self.optime(3), Self.optime(2), Self.optime(9, term: 0)] {
            var isRefused = false
            do {
                let next = (Self.optime(4), Self.entry(Self.optime(4), payload: 1))
                try engine.engine.apply(Self.batch(table, 2, [next, (bad, Self.entry(bad, payload: 1))]))
            } catch { isRefused = true }
            try expect(isRefused, "an entry at \(bad) is taken behind one at \(Self.optime(4))")
        }
        try expect(try await engine.get(table, [1]) == [1], "a batch that was refused has changed a table")
        try expect(log.count == 3 && log.last == entries[2].0, "a batch that was refused has changed the log")
        try expect(engine.engine.appliedMark == applied, "a batch that was refused is counted")
        let alone = WriteBatch()
        alone.truncateLog(after: Self.optime(1).timestamp)
        try engine.engine.apply(alone)
        try expect(log.last == Self.optime(1) && log.count == 1, "a truncation leaves entries")
        try expect(engine.engine.appliedMark == applied + 1, "a batch that changes the log alone is not counted")
        let cleared = WriteBatch()
        cleared.truncateLog(through: .max)
        Self.entry(Self.optime(1), payload: 3).withUnsafeBytes { cleared.appendEntry($0, optime: Self.optime(1)) }
        try engine.engine.apply(cleared)
        try expect(log.first == Self.optime(1) && log.count == 1, "an emptied log does not begin with what comes next")
    }

    /// Random runs of entries, truncations at both ends, commit points, checkpoints and reads agree with an array.
    func checkLogAgainstModel(_ tested: EngineUnderTest) async throws {
        let engine = tested.engine
        guard let log = engine.log else { return }
        log.expect(bytesMax: 40_000)
        var random = SplitMix64(seed: seed)
        var model: [(optime: OpTime, bytes: [UInt8])] = []
        var clock = 1
        var committed = 0
        for _ in 0..<900 {
            let batch = WriteBatch()
            switch random.below(11) {
            case 0..<6:
                for _ in 0...random.below(20) {
                    clock += 1 + random.below(3)
                    let optime = Self.optime(clock)
                    let bytes = Self.entry(optime, payload: random.below(200))
                    bytes.withUnsafeBytes { batch.appendEntry($0, optime: optime) }
                    model.append((optime, bytes))
                }
            case 6:
                committed = max(committed, clock - random.below(40))
                log.setCommitPoint(Self.optime(committed).timestamp)
                continue
            case 7:
                let after = Self.optime(max(committed, clock - random.below(10))).timestamp
                batch.truncateLog(after: after)
                model.removeAll { $0.optime.timestamp > after }
            case 8:
                guard let piece = try log.frontPiece(0) else { continue }
                try expect(
                    piece.last <= Self.optime(committed) && piece.storedBytes > 0,
                    "a piece that may go holds what is not committed")
                batch.truncateLog(through: piece.last.timestamp)
                model.removeAll { $0.optime <= piece.last }
            case 9:
                try await engine.flush(upTo: engine.appliedMark)
                try await engine.checkpoint()
                continue
            default:
                try await compare(tested, log, model, &random)
                continue
            }
            try engine.apply(batch)
            let bytes = model.reduce(0) { $0 + $1.bytes.count }
            try expect(log.byteCount == bytes, "the log has \(log.byteCount) bytes in place of \(bytes)")
            try expect(
                log.count == model.count && log.first == model.first?.optime && log.last == model.last?.optime,
                "the log has \(log.count) entries in place of \(model.count), or other ends")
            let open = model.filter { $0.optime > Self.optime(committed) }.reduce(0) { $0 + $1.bytes.count }
            try expect(log.openBytes == open, "\(log.openBytes) bytes are above the commit point in place of \(open)")
        }
    }

    private func compare(
        _ tested: EngineUnderTest, _ log: any StorageLog, _ model: [(optime: OpTime, bytes: [UInt8])],
        _ random: inout SplitMix64
    ) async throws {
        guard let first = model.first, let last = model.last else { return }
        let span = Int(last.optime.timestamp.rawValue - first.optime.timestamp.rawValue) + 4
        let at = Timestamp(rawValue: first.optime.timestamp.rawValue - 2 + UInt64(random.below(span)))
        try expect(
            try await tested.whenResident { try log.optime(at: at) }
                == model.first { $0.optime.timestamp == at }?.optime,
            "a look-up at \(at) is wrong")
        for direction in [ScanDirection.forward, .backward] {
            let inclusive = random.below(2) == 0
            var expected = model.filter {
                if $0.optime.timestamp == at { return inclusive }
                return (direction == .forward) == ($0.optime.timestamp > at)
            }.map(\.bytes)
            if direction == .backward { expected.reverse() }
            let limit = 1 + random.below(60)
            let found = try await tested.whenResident {
                var found: [[UInt8]] = []
                try log.read(from: at, inclusive: inclusive, direction: direction) {
                    found.append([UInt8]($0))
                    return found.count < limit
                }
                return found
            }
            try expect(found == Array(expected.prefix(limit)), "reading \(direction) from \(at) gives other entries")
        }
        guard let piece = log.sealedPiece(behind: at) else { return }
        let run = model.filter { $0.optime >= piece.first && $0.optime <= piece.last }
        try expect(
            run.first?.optime == piece.first && run.last?.optime == piece.last && run.count == piece.count
                && !model.contains { $0.optime.timestamp > at && $0.optime < piece.first },
            "a sealed piece behind \(at) is another")
        let opened = try piece.frame.withUnsafeBytes { try LogFrame.open($0) }
        defer { opened.content.deallocate() }
        try expect(
            [UInt8](opened.content) == run.flatMap(\.bytes) && opened.count == run.count, "a sealed piece holds others")
    }

    /// After close and open a durable engine has tables and log of the same batch.
    func checkLogReopen(_ engine: any StorageEngine) async throws {
        try await engine.open()
        let table = TableID(rawValue: 24)
        try engine.apply(Self.batch(table, 1, [(Self.optime(1), Self.entry(Self.optime(1), payload: 10))]))
        let mark = engine.appliedMark
        try await engine.flush(upTo: mark)
        await engine.close()
        try await engine.open()
        if let log = engine.log {
            try expect(
                log.last == (engine.survivesRestart ? Self.optime(1) : nil),
                "after close and open the log ends at \(log.last.debugDescription)")
        }
        await engine.close()
    }
}
