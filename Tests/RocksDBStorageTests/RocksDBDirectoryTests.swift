#if RocksDB
    import Core
    import Foundation
    import LiveRuntime
    import Testing

    @testable import RocksDBStorage

    /// What a directory may look like that is to be opened.
    @Suite struct RocksDBDirectoryTests {
        private static let table = TableID(rawValue: 20)

        /// Some batches, each durable. Ends without closing unless it is told to.
        private static func fill(_ directory: TemporaryDirectory, isClosed: Bool = true) throws {
            try onLoop { runtime in
                let store = directory.store(runtime)
                try await store.open()
                for number in 0..<40 {
                    try store.apply { $0.put(table, key(number), [UInt8](repeating: 7, count: 1000)) }
                    try await store.flush(upTo: store.appliedMark)
                }
                if isClosed { await store.close() }
            }
        }

        /// The line that a directory is refused with, by the opening or by reading everything.
        private static func refusal(_ directory: TemporaryDirectory) throws -> String? {
            var line: String?
            try onLoop { runtime in
                do {
                    let store = directory.store(runtime)
                    try await store.open()
                    _ = try await allRows(store, table, .forward)
                    await store.close()
                } catch {
                    line = "\(error)"
                }
            }
            #expect(line?.contains { $0.isNewline } != true)
            return line
        }

        private static func replace(_ path: String, with bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }

        @Test("a directory that is no store, or part of one, is refused and left alone")
        func strangers() throws {
            let strange = try TemporaryDirectory()
            try FileManager.default.createDirectory(atPath: strange.path, withIntermediateDirectories: true)
            try Self.replace("\(strange.path)/photo.jpg", with: [1])
            #expect(try Self.refusal(strange)?.contains("not a data directory of the storage 'rocksdb'") == true)
            let directory = try TemporaryDirectory()
            try Self.fill(directory)
            let whole = try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/store"))
            try FileManager.default.removeItem(atPath: "\(directory.path)/store")
            #expect(try Self.refusal(directory)?.contains("part of it was deleted") == true)
            try whole.write(to: URL(fileURLWithPath: "\(directory.path)/store"))
            #expect(try Self.refusal(directory) == nil)
            try FileManager.default.removeItem(atPath: "\(directory.path)/data/CURRENT")
            #expect(try Self.refusal(directory)?.contains("no file 'CURRENT'") == true)
        }

        @Test("a store that was not made to its end is made again")
        func halfMade() throws {
            let directory = try TemporaryDirectory()
            let layout = RocksDBLayout(root: directory.path)
            try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
            try StoreIdentity(number: 7).write(LiveDisk(), layout)
            try Self.fill(directory)
            #expect(try StoreIdentity.read(LiveDisk(), layout)?.number == 7)
            var identity = try #require(try StoreIdentity.read(LiveDisk(), layout))
            identity.isMade = false
            try identity.write(LiveDisk(), layout)
            #expect(try Self.refusal(directory) == nil)
        }

        @Test("a store of another version, or of another directory, is refused")
        func others() throws {
            let (one, other) = (try TemporaryDirectory(), try TemporaryDirectory())
            try Self.fill(one)
            try onLoop(seed: 2) { runtime in
                let store = other.store(runtime)
                try await store.open()
                await store.close()
            }
            let path = "\(one.path)/store"
            let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            var newer = whole
            newer[4] = 2
            try Self.replace(path, with: newer)
            #expect(try Self.refusal(one)?.contains("format version 2") == true)
            try Self.replace(path, with: whole)
            try FileManager.default.removeItem(atPath: "\(one.path)/data")
            try FileManager.default.copyItem(atPath: "\(other.path)/data", toPath: "\(one.path)/data")
            #expect(try Self.refusal(one)?.contains("in the place of another") == true)
        }

        @Test("every byte of the small files is looked at")
        func smallFiles() throws {
            let directory = try TemporaryDirectory()
            try Self.fill(directory)
            for name in ["store", "mark"] {
                let path = "\(directory.path)/\(name)"
                let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
                for offset in whole.indices {
                    try turnBit(of: path, at: offset)
                    #expect(try Self.refusal(directory)?.contains(path) == true, "\(name) at \(offset)")
                    try Self.replace(path, with: whole)
                }
                try Self.replace(path, with: Array(whole.dropLast()))
                #expect(try Self.refusal(directory)?.contains(path) == true)
                try Self.replace(path, with: whole)
            }
            #expect(try Self.refusal(directory) == nil)
        }

        @Test("a bit that turns in a sorted file is found, with the file, and never served")
        func turnedBitsInFiles() throws {
            var found = 0
            for seed in 1...20 as ClosedRange<UInt64> {
                let directory = try TemporaryDirectory()
                try Self.fill(directory)
                var random = SplitMix64(seed: seed)
                let files = directory.files(".sst")
                let path = files[random.below(files.count)]
                let size = try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
                try turnBit(of: path, at: random.below(size))
                guard let line = try Self.refusal(directory) else { continue }
                #expect(line.contains("damaged") && line.contains(".sst"), "\(line)")
                found += 1
            }
            // Not every byte of a file is read.
            #expect(found > 10, "\(found)")
        }

        @Test("a log that is damaged in what was durable is refused, and left as it is")
        func turnedBitsInLogs() throws {
            var found = 0
            for seed in 1...20 as ClosedRange<UInt64> {
                let directory = try TemporaryDirectory()
                var settings = smallSettings
                settings.writeBufferBytes = 1 << 20
                try onLoop { runtime in
                    let store = directory.store(runtime, settings)
                    try await store.open()
                    for number in 0..<40 {
                        try store.apply { $0.put(Self.table, key(number), [UInt8](repeating: 7, count: 1000)) }
                        try await store.flush(upTo: store.appliedMark)
                    }
                }
                var random = SplitMix64(seed: seed)
                let path = try #require(directory.files(".log").last)
                let before = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
                #expect(before.count > 40_000)
                try turnBit(of: path, at: random.below(before.count))
                let damaged = try Data(contentsOf: URL(fileURLWithPath: path))
                guard let line = try Self.refusal(directory) else { continue }
                #expect(line.contains("damaged"), "\(line)")
                #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == damaged)
                found += 1
            }
            #expect(found == 20, "\(found)")
        }

        @Test("a log that ends in the middle of what was not durable is a beginning")
        func tornLogs() throws {
            let directory = try TemporaryDirectory()
            var settings = smallSettings
            settings.writeBufferBytes = 1 << 20
            try onLoop { runtime in
                let store = directory.store(runtime, settings)
                try await store.open()
                for number in 0..<40 {
                    try store.apply { $0.put(Self.table, key(number), [UInt8](repeating: 7, count: 1000)) }
                    try await store.flush(upTo: store.appliedMark)
                }
            }
            // As if the last ten had never been waited for.
            let layout = RocksDBLayout(root: directory.path)
            let identity = try #require(try StoreIdentity.read(LiveDisk(), layout))
            try DurableMarkFile.open(LiveDisk(), layout, store: identity.number).file.write(30)
            let path = try #require(directory.files(".log").last)
            let content = try Data(contentsOf: URL(fileURLWithPath: path))
            try content.prefix(content.count - 1500).write(to: URL(fileURLWithPath: path))
            try onLoop { runtime in
                let store = directory.store(runtime, settings)
                try await store.open()
                #expect(store.wasUnclean)
                let rows = try await allRows(store, Self.table, .forward)
                #expect(rows.count == 38 && store.statistics(Self.table).entries == 38)
                await store.close()
            }
        }

        @Test("a directory that another store has open is refused, with who has it")
        func locked() throws {
            let directory = try TemporaryDirectory()
            try onLoop { runtime in
                let first = directory.store(runtime)
                try await first.open()
                let second = directory.store(runtime)
                do {
                    try await second.open()
                    Issue.record("two stores have one directory")
                } catch {
                    #expect("\(error)".contains("is in use: held by store"))
                }
                await first.close()
                try await second.open()
                await second.close()
            }
        }
    }
#endif
