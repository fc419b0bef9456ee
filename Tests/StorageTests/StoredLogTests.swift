import BSON
import Conformance
import Core
@testable import FileStorage
import Simulation
import Testing

/// Oplogs of which only the newest part is in memory.
@Suite("Oplogs in files") struct StoredLogTests {
    @Test(
        "an engine whose oplog is hardly in memory keeps the storage contract", arguments: 1...4 as ClosedRange<UInt64>)
    func conformance(seed: UInt64) throws {
        try onLoop(seed: seed) { runtime in
            var engines: [FileStorage] = []
            let disk = SimulatedDisk(seed: seed)
            let suite = StorageConformance(seed: seed, steps: 300) {
                let engine = FileStorage(
                    runtime, disk, directory: "/data/\(engines.count)", name: "store", settings: pagedSettings)
                engines.append(engine)
                return engine
            }
            try await suite.run()
            #expect(engines.reduce(0) { $0 + ($1.statistics["oplogReads"]?.asInteger ?? 0) } > 10)
        }
    }

    @Test("a log in files agrees with an array, over several lives", arguments: 1...12 as ClosedRange<UInt64>)
    func agreesWithArray(seed: UInt64) throws {
        let run = LogRun(seed: seed)
        let problem = try run.run()
        #expect(problem == nil, "\(problem ?? "")")
        #expect(run.storedMost > 1, "nothing was in files only")
        #expect(run.reads > 10, "nothing was read from files")
    }

    @Test("what was flushed is there after a power cut at any call")
    func powerCuts() throws {
        for cut in 1...200 {
            let problem = try StoreRun.powerCut(at: cut, settings: pagedSettings, commits: true)
            #expect(problem == nil, "cut \(cut)")
        }
    }

    @Test("a bit that turns in a segment is found when it is read, and never served")
    func turnedBits() throws {
        var damages = 0
        for seed in 1...150 as ClosedRange<UInt64> {
            let (path, outcome) = try StoreRun.turnedBit(seed: seed, settings: pagedSettings, commits: true)
            #expect(outcome != .served, "seed \(seed): \(path)")
            if case .refused(let why) = outcome, path.contains("/oplog/") {
                #expect(why.contains(path))
                damages += 1
            }
        }
        #expect(damages > 10, "\(damages)")
    }

    private static let table = TableID(rawValue: 20)

    private static func entry(_ number: Int) -> (optime: OpTime, bytes: [UInt8]) {
        let optime = OpTime(term: 1, timestamp: Timestamp(rawValue: UInt64(number)))
        let text = String((0..<150).map { Character(UnicodeScalar(UInt8(97 + (number * 31 + $0 * $0) % 26))) })
        let document = Document {
            $0.append("ts", timestamp: optime.timestamp)
            $0.append("t", int64: 1)
            $0.append("o", string: text)
        }
        return (optime, document.withView { [UInt8]($0.bytes) })
    }

    /// A closed store of a few hundred entries in many segments.
    private static func written(_ disk: SimulatedDisk) throws -> Manifest {
        var manifest: Manifest?
        try onLoop(seed: 1) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: pagedSettings)
            try await store.open()
            for number in 1...300 {
                let batch = WriteBatch()
                let (optime, bytes) = entry(number)
                bytes.withUnsafeBytes { batch.appendEntry($0, optime: optime) }
                try store.apply(batch)
                if number % 10 == 0 {
                    try await store.flush(upTo: store.appliedMark)
                    try await store.checkpoint()
                }
            }
            await store.close()
            manifest = try Manifest.read(disk, FileLayout(root: "/data"))
        }
        return try #require(manifest)
    }

    private func open(_ disk: SimulatedDisk, _ body: @escaping (FileStorage) async throws -> Void) throws {
        try onLoop(seed: 2) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: pagedSettings)
            try await store.open()
            try await body(store)
            await store.close()
        }
    }

    @Test("a start leaves all but the newest segments in their files, unread")
    func starts() throws {
        let disk = SimulatedDisk(seed: 1)
        let manifest = try Self.written(disk)
        #expect(manifest.oplog.segments.count > 10)
        #expect(manifest.oplog.segments.reduce(0) { $0 + ($1.content?.count ?? 0) } == 300)
        try open(disk) { store in
            let stored = store.statistics["oplogSegmentsInFilesOnly"]?.asInteger ?? 0
            #expect(stored >= Int64(manifest.oplog.segments.count - 2))
            #expect(store.log?.count == 300 && store.log?.first == Self.entry(1).optime)
            #expect(store.statistics["oplogReads"]?.asInteger == 0)
            let found = try await store.whenResident { try store.log?.optime(at: Self.entry(77).optime.timestamp) }
            #expect(found == Self.entry(77).optime)
            #expect(store.statistics["oplogReads"]?.asInteger != 0)
        }
    }

    @Test("segments of which an earlier version said less are read when the store is opened")
    func earlierVersion() throws {
        let disk = SimulatedDisk(seed: 1)
        var manifest = try Self.written(disk)
        for index in 5..<manifest.oplog.segments.count { manifest.oplog.segments[index].content = nil }
        try manifest.write(disk, FileLayout(root: "/data"), [])
        #expect(try Manifest.read(disk, FileLayout(root: "/data")) == manifest)
        try open(disk) { store in
            #expect(store.statistics["oplogSegmentsInFilesOnly"]?.asInteger == 5)
            #expect(store.log?.count == 300)
            let found = try await store.whenResident { try StoreModel.log(store) }
            #expect(found == (1...300).map { UInt64($0) })
        }
    }

    @Test("a segment that is missing, or too short, is found when the store is opened", arguments: [true, false])
    func lost(isMissing: Bool) throws {
        let disk = SimulatedDisk(seed: 1)
        let manifest = try Self.written(disk)
        let path = FileLayout(root: "/data").oplogSegment(manifest.oplog.segments[1].number)
        if isMissing {
            try disk.remove(path)
        } else {
            let file = try disk.open(path, create: false)
            try file.resize(to: manifest.oplog.segments[1].bytes - 1)
        }
        #expect {
            try open(disk) { _ in }
        } throws: { error in
            "\(error)".contains("\(path) is damaged") && "\(error)".contains(isMissing ? "missing" : "too short")
        }
    }

    @Test("a look at a directory reads every segment, and finds what is wrong in one")
    func looks() throws {
        let disk = SimulatedDisk(seed: 1)
        let manifest = try Self.written(disk)
        let path = FileLayout(root: "/data").oplogSegment(manifest.oplog.segments[3].number)
        disk.flipBit(of: path, at: 8 * 100)
        #expect {
            try onLoop(seed: 2) { runtime in
                let store = FileStorage(
                    runtime, disk, directory: "/data", name: "store", settings: pagedSettings, access: .inspect)
                try await store.open()
            }
        } throws: { "\($0)".contains("\(path) is damaged") }
    }

    @Test("entries of a file that goes while it is asked for are not there, and no error")
    func goneMeanwhile() throws {
        let disk = SimulatedDisk(seed: 1)
        let manifest = try Self.written(disk)
        let cut = manifest.oplog.segments[3].last
        try open(disk) { store in
            store.log?.setCommitPoint(Self.entry(290).optime.timestamp)
            var missing: StorageNotResident?
            do { _ = try store.log?.optime(at: Timestamp(rawValue: 5)) } catch let error as StorageNotResident {
                missing = error
            }
            let missed = try #require(missing)
            let batch = WriteBatch()
            batch.truncateLog(through: cut)
            try store.apply(batch)
            try await store.flush(upTo: store.appliedMark)
            try await store.checkpoint()
            try await store.prefetch(missed.table, [missed.key])
            #expect(try store.log?.optime(at: Timestamp(rawValue: 5)) == nil)
            let found = try await store.whenResident { try StoreModel.log(store) }
            #expect(found == ((cut.rawValue + 1)...300).map { $0 })
        }
    }
}
