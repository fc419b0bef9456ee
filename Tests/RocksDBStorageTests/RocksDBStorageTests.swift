#if RocksDB
    import BSON
    import Conformance
    import Core
    import Testing

    @testable import RocksDBStorage

    @Suite struct RocksDBStorageTests {
        @Test("RocksDBStorage keeps the storage contract", arguments: 1...2 as ClosedRange<UInt64>)
        func conformance(seed: UInt64) throws {
            try onLoop(seed: seed) { runtime in
                var directories: [TemporaryDirectory] = []
                let suite = StorageConformance(seed: seed, steps: 1500) {
                    directories.append(try TemporaryDirectory())
                    // With buffers that hold all, and with some that hold next to nothing.
                    return directories[directories.count - 1].store(
                        runtime, seed == 1 ? RocksDBSettings() : smallSettings)
                }
                try await suite.run()
            }
        }

        /// Writes, flushes now and then. Returns how many batches are promised.
        private static func work(
            _ store: RocksDBStorage, _ model: inout StoreModel, batches: Int, _ random: inout SplitMix64
        ) async throws -> Int {
            let start = model.count
            for _ in 0..<batches {
                try store.apply(model.nextBatch())
                if random.below(6) == 0 { try await store.flush(upTo: store.appliedMark) }
            }
            return start + Int(store.durableMark)
        }

        @Test("what was flushed is there after a store that was never closed, and of the rest a beginning")
        func neverClosed() throws {
            for seed in 1...12 as ClosedRange<UInt64> {
                let directory = try TemporaryDirectory()
                var model = StoreModel(seed: seed)
                var random = SplitMix64(seed: seed)
                var promised = 0
                for life in 0..<4 {
                    try onLoop(seed: seed) { runtime in
                        let store = directory.store(runtime)
                        try await store.open()
                        #expect(store.wasUnclean == (life > 0))
                        let found = try #require(
                            try await model.find(store, from: promised),
                            "seed \(seed), life \(life): \(promised) are promised")
                        model.forget(behind: found)
                        promised = try await Self.work(store, &model, batches: 100, &random)
                        #expect(promised > found)
                    }
                }
            }
        }

        @Test("a store that was closed is found as it was, whole, with its counts")
        func reopening() throws {
            let directory = try TemporaryDirectory()
            var model = StoreModel(seed: 1)
            var random = SplitMix64(seed: 1)
            for _ in 0..<5 {
                try onLoop { runtime in
                    let store = directory.store(runtime)
                    try await store.open()
                    #expect(!store.wasUnclean)
                    #expect(try await model.find(store, from: model.count) == model.count)
                    _ = try await Self.work(store, &model, batches: 200, &random)
                    try await store.flush(upTo: store.appliedMark)
                    for table in StoreModel.tables {
                        let rows = model.states[model.count][table] ?? [:]
                        let bytes = rows.reduce(0) { $0 + $1.key.count + $1.value.count }
                        #expect(
                            store.statistics(table) == StorageTableStatistics(entries: rows.count, bytes: bytes))
                    }
                    if random.below(2) == 0 { try await store.checkpoint() }
                    await store.close()
                }
            }
        }

        private static let table = TableID(rawValue: 20)

        /// Many more rows than memory holds, on the disk, and the store closed.
        private static func fill(_ directory: TemporaryDirectory, rows: Int, bytes: Int) throws {
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                for start in stride(from: 0, to: rows, by: 50) {
                    try store.apply { batch in
                        for number in start..<min(start + 50, rows) {
                            batch.put(table, key(number), [UInt8](repeating: UInt8(number % 251), count: bytes))
                        }
                    }
                    try await store.flush(upTo: store.appliedMark)
                }
                await store.close()
            }
        }

        @Test("what is not in memory is said to be, and found when it was prefetched", arguments: [300, 20_000])
        func notResident(bytes: Int) throws {
            let directory = try TemporaryDirectory()
            let rows = 4_000_000 / bytes
            try Self.fill(directory, rows: rows, bytes: bytes)
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                var random = SplitMix64(seed: 1)
                var missed = 0
                for _ in 0..<300 {
                    let number = random.below(rows + rows / 10)
                    let (value, wasResident) = try await read(store, Self.table, key(number))
                    if !wasResident { missed += 1 }
                    let expected = number < rows ? [UInt8](repeating: UInt8(number % 251), count: bytes) : nil
                    #expect(value == expected)
                }
                #expect(missed > 100)
                for direction in [ScanDirection.forward, .backward] {
                    let found = try await allRows(store, Self.table, direction).map(\.key)
                    let expected = (0..<rows).map { key($0) }
                    #expect(found == (direction == .forward ? expected : expected.reversed()))
                }
                #expect(store.misses.count > 100)
                await store.close()
            }
        }

        @Test("a scan that writes what it comes by, and beside it, misses nothing", arguments: [1, 5])
        func scanUnderWrites(step: Int) throws {
            let directory = try TemporaryDirectory()
            let rows = 3000
            try Self.fill(directory, rows: rows, bytes: 1000)
            let others = [TableID(rawValue: 2), TableID(rawValue: 40)]
            for direction in [ScanDirection.forward, .backward] {
                try onLoop { runtime in
                    let store = directory.store(runtime)
                    try await store.open()
                    let cursor = try store.makeCursor(Self.table)
                    let page = RowBuffer(limit: 40)
                    var last: [UInt8] = []
                    var seen = 0
                    while true {
                        let scan = try last.withUnsafeBytes {
                            try cursor.read(from: last.isEmpty ? .start : .behind($0), direction: direction, into: page)
                        }
                        let keys = page.rows.map { [UInt8]($0.key) }
                        for found in keys {
                            last = found
                            let number = direction == .forward ? seen : rows - 1 - seen
                            #expect(found == key(number))
                            seen += 1
                            guard seen.isMultiple(of: step) else { continue }
                            try store.apply { batch in
                                batch.put(Self.table, found, [UInt8](repeating: 9, count: 1100))
                                for other in others { batch.put(other, found, [1]) }
                            }
                            if seen.isMultiple(of: 100) { try await store.flush(upTo: store.appliedMark) }
                            break
                        }
                        if keys.isEmpty {
                            if case .done = scan { break }
                            try await store.prefetch(Self.table, [last])
                        }
                        if seen > rows { break }
                    }
                    #expect(seen == rows)
                    await store.close()
                }
            }
        }

        @Test("a scan misses nothing where single rows of many files are in memory, and the others are not")
        func scansAmongSingleRows() throws {
            let directory = try TemporaryDirectory()
            let rows = 6000
            // Twice: rows of one place in several files.
            try Self.fill(directory, rows: rows, bytes: 4000)
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                for number in stride(from: 0, to: rows, by: 11) {
                    try store.apply { $0.put(Self.table, key(number), [UInt8](repeating: 2, count: 4000)) }
                    if number.isMultiple(of: 100) { try await store.flush(upTo: store.appliedMark) }
                }
                await store.close()
            }
            var settings = smallSettings
            settings.cacheBytes = 8 << 20
            try onLoop { runtime in
                let store = directory.store(runtime, settings)
                try await store.open()
                var random = SplitMix64(seed: 1)
                for direction in [ScanDirection.forward, .backward, .forward, .backward] {
                    for _ in 0..<1000 { _ = try await read(store, Self.table, key(random.below(rows))) }
                    #expect(try await allRows(store, Self.table, direction).count == rows)
                }
                await store.close()
            }
        }

        @Test("rows larger than the whole cache can be read, in both directions")
        func largeRows() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory, rows: 12, bytes: 1_000_000)
            try Self.fill(directory, rows: 12, bytes: 900_000)
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                for direction in [ScanDirection.forward, .backward] {
                    let found = try await allRows(store, Self.table, direction)
                    #expect(found.count == 12 && found.allSatisfy { $0.value.count == 900_000 })
                }
                for number in 0..<12 {
                    #expect(try await read(store, Self.table, key(number)).value?.count == 900_000)
                }
                await store.close()
            }
        }

        @Test("a scan that goes on is read ahead of further and further")
        func readAhead() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory, rows: 20_000, bytes: 300)
            var settings = smallSettings
            settings.cacheBytes = 4 << 20
            try onLoop { runtime in
                let store = directory.store(runtime, settings)
                try await store.open()
                #expect(try await allRows(store, Self.table, .forward, rowsPerRead: 128).count == 20_000)
                // 6 MB in pieces of up to 256 KB.
                #expect(store.prefetchedKeys < 60, "\(store.prefetchedKeys)")
                await store.close()
            }
        }

        @Test("what is written over keys that are not in memory is counted right once it is durable")
        func blindWrites() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory, rows: 10_000, bytes: 300)
            for isLost in [true, false] {
                try onLoop { runtime in
                    let store = directory.store(runtime)
                    try await store.open()
                    let before = store.statistics(Self.table)
                    #expect(before.entries == 10_000 && before.bytes == 10_000 * 308)
                    try store.apply { batch in
                        for number in stride(from: 0, to: 1000, by: 10) {
                            batch.delete(Self.table, key(number))
                            batch.put(Self.table, key(number + 1), [1])
                            batch.put(Self.table, key(number + 2), [1])
                            batch.delete(Self.table, key(number + 2))
                            batch.delete(Self.table, key(number + 3))
                            batch.put(Self.table, key(number + 3), [2, 2])
                        }
                    }
                    #expect(store.statistics(Self.table).entries >= 9800)
                    // Never flushed, never closed: it did not happen.
                    if isLost { return }
                    try await store.flush(upTo: store.appliedMark)
                    let after = store.statistics(Self.table)
                    #expect(after.entries == 9800)
                    #expect(after.bytes == 9600 * 308 + 100 * 9 + 100 * 10)
                    await store.close()
                }
            }
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                #expect(store.statistics(Self.table).entries == 9800)
                #expect(try await allRows(store, Self.table, .forward).count == 9800)
                await store.close()
            }
        }

        @Test("a table that is kept in memory is read without waiting, also by the next run from its start on")
        func resident() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory, rows: 3000, bytes: 300)
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                try store.apply {
                    $0.put(Self.table, key(5), [5])
                    $0.delete(Self.table, key(6))
                }
                store.keepResident(Self.table)
                // On its way into memory while it is written.
                let (value, wasResident) = try await read(store, Self.table, key(7))
                #expect(!wasResident && value?.count == 300)
                try store.apply {
                    $0.put(Self.table, key(8), [8])
                    $0.delete(Self.table, key(9))
                }
                await store.close()
            }
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                store.keepResident(Self.table)
                for number in 0..<3000 {
                    let (value, wasResident) = try await read(store, Self.table, key(number))
                    #expect(wasResident)
                    switch number {
                    case 5, 8: #expect(value == [UInt8(number)])
                    case 6, 9: #expect(value == nil)
                    default: #expect(value?.count == 300)
                    }
                }
                #expect(try await allRows(store, Self.table, .backward).count == 2998)
                #expect(store.misses.count == 0)
                await store.close()
            }
        }

        @Test("a table that is dropped and filled again has what came behind the drop, in memory and on the disk")
        func drops() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory, rows: 12_000, bytes: 100)
            for life in 0..<2 {
                try onLoop { runtime in
                    let store = directory.store(runtime)
                    try await store.open()
                    if life == 0 {
                        try store.apply {
                            $0.put(Self.table, key(1), [1])
                            $0.dropTable(Self.table)
                            $0.put(Self.table, key(2), [2])
                        }
                    }
                    for _ in 0..<2 {
                        #expect(try await allRows(store, Self.table, .forward) == [Entry(key: key(2), value: [2])])
                        #expect(try await read(store, Self.table, key(1)).value == nil)
                        #expect(store.statistics(Self.table) == StorageTableStatistics(entries: 1, bytes: 9))
                        try await store.flush(upTo: store.appliedMark)
                        try await store.checkpoint()
                    }
                    await store.close()
                }
            }
        }

        @Test("scans that meet the disk miss nothing beside tables that are dropped and filled again")
        func scansBesideDrops() throws {
            let directory = try TemporaryDirectory()
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                for round in 0..<6 {
                    for start in stride(from: 0, to: 1500, by: 50) {
                        try store.apply { batch in
                            for number in start..<(start + 50) {
                                for table in 19...21 as ClosedRange<UInt32> {
                                    batch.put(
                                        TableID(rawValue: table), key(number), [UInt8](repeating: 1, count: 600))
                                }
                            }
                            if start == 700 {
                                for table in [19, 21] as [UInt32] { batch.dropTable(TableID(rawValue: table)) }
                            }
                        }
                        if start.isMultiple(of: 250) { try await store.flush(upTo: store.appliedMark) }
                    }
                    for direction in [ScanDirection.forward, .backward] {
                        #expect(try await allRows(store, Self.table, direction).count == 1500, "round \(round)")
                        #expect(try await allRows(store, TableID(rawValue: 21), direction).count == 750)
                    }
                }
                await store.close()
            }
        }

        @Test("what is left of dropped tables is removed, over a restart too")
        func sweeping() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory, rows: 25_000, bytes: 200)
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                try store.apply { $0.dropTable(Self.table) }
                try await store.flush(upTo: store.appliedMark)
            }
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                await runtime.sleep(for: .seconds(1))
                try store.apply { $0.put(Self.table, key(1), [1]) }
                try await store.flush(upTo: store.appliedMark)
                let files = store.statistics["fileBytes"]?.asInteger ?? .max
                #expect(files < 1 << 20, "\(files)")
                #expect(try await allRows(store, Self.table, .forward) == [Entry(key: key(1), value: [1])])
                await store.close()
            }
        }

        @Test("a queue is read at its head, whatever was deleted in front and comes back there")
        func queue() throws {
            let directory = try TemporaryDirectory()
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                let cursor = try store.makeCursor(Self.table)
                let rows = RowBuffer(limit: 1)
                var (head, tail) = (1000, 1000)
                var random = SplitMix64(seed: 3)
                for _ in 0..<3000 {
                    switch random.below(10) {
                    case 0 where head > 0:
                        head -= 1
                        try store.apply { $0.put(Self.table, key(head), [1]) }
                    case 1..<6:
                        try store.apply { $0.put(Self.table, key(tail), [1]) }
                        tail += 1
                    default:
                        if head < tail {
                            try store.apply { $0.delete(Self.table, key(head)) }
                            head += 1
                        }
                    }
                    let bound = key(random.below(1000))
                    let isBehind = random.below(2) == 0
                    let expected = max(head, Int(bound[6]) << 8 + Int(bound[7]) + (isBehind ? 1 : 0))
                    while case .notResident = try bound.withUnsafeBytes({
                        try cursor.read(from: isBehind ? .behind($0) : .including($0), direction: .forward, into: rows)
                    }) { try await store.prefetch(Self.table, [bound]) }
                    #expect(rows.rows.map { [UInt8]($0.key) } == (expected < tail ? [key(expected)] : []))
                    while case .notResident = try cursor.read(from: .start, direction: .forward, into: rows) {
                        try await store.prefetch(Self.table, [[]])
                    }
                    #expect(rows.rows.map { [UInt8]($0.key) } == (head < tail ? [key(head)] : []))
                    if random.below(50) == 0 { try await store.flush(upTo: store.appliedMark) }
                }
                await store.close()
            }
        }

        @Test("writers are told to wait when much waits for the disk, and not when it is written")
        func behind() throws {
            let directory = try TemporaryDirectory()
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                let value = [UInt8](repeating: 1, count: 1 << 20)
                var count = 0
                while !store.isBehind, count < 200 {
                    try store.apply { $0.put(Self.table, key(count), value) }
                    count += 1
                }
                #expect(count > 60 && count < 70)
                #expect(try await allRows(store, Self.table, .forward).count == count)
                try await store.flush(upTo: store.appliedMark)
                #expect(!store.isBehind)
                await store.close()
            }
        }

        @Test("settings are numbers within their bounds")
        func settings() throws {
            let settings = try RocksDBSettings(PartOptions(["journal-commit-interval": "20", "cache-mb": "9"]))
            #expect(settings.journalCommitInterval == .milliseconds(20) && settings.cacheBytes == 9 << 20)
            for bad in ["", "0", "-1", "7", "1e2", "99999999999999999999"] {
                #expect(throws: PartOptionError.self) { try RocksDBSettings(PartOptions(["cache-mb": bad])) }
            }
        }
    }
#endif
