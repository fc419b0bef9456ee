import BSON
import Core
import Testing

@testable import Simulation

@Suite("Simulated disk")
struct LossyDiskTests {
    /// A disk in a world, and the run that uses it.
    private final class Bench {
        let world: SimulatedWorld
        let runtime: SimulatedRuntime
        let disk: LossyDisk
        var engine: any StorageEngine

        init(seed: UInt64, keepsLog: Bool) throws {
            world = SimulatedWorld(seed: seed)
            runtime = world.addNode("a")
            disk = LossyDisk(name: "a", seed: seed, keepsLog: keepsLog, flushTime: .milliseconds(5))
            engine = disk.engine(runtime)
            try open()
        }

        func perform(_ body: @escaping (any StorageEngine) async throws -> Void) throws {
            var result: Result<Void, any Error>?
            let engine = engine
            runtime.spawn("test body") {
                do { result = .success(try await body(engine)) } catch { result = .failure(error) }
            }
            try world.run(until: { result != nil }, atMost: .seconds(60), "the test's body")
            try result?.get()
        }

        private func open() throws { try perform { try await $0.open() } }

        /// The next run, after a crash that leaves so much.
        func crash(leaving survivors: DiskSurvivors) throws {
            disk.survivors = survivors
            engine = disk.engine(runtime)
            try open()
        }

        /// A batch with one row, and one entry.
        func write(_ number: UInt8) throws {
            let batch = WriteBatch()
            [number].withUnsafeBytes { batch.put(TableID(rawValue: 20), key: $0, value: $0) }
            let optime = OpTime(term: 1, timestamp: Timestamp(seconds: 1, increment: UInt32(number)))
            let entry: Document = ["ts": .timestamp(optime.timestamp), "t": .int64(1)]
            if disk.keepsLog { entry.withView { batch.appendEntry($0.bytes, optime: optime) } }
            try engine.apply(batch)
        }

        /// What is there: always the first so many.
        func count() throws -> Int {
            let rows = RowBuffer(limit: 100)
            _ = try engine.makeCursor(TableID(rawValue: 20)).read(from: .start, direction: .forward, into: rows)
            #expect(rows.rows.map { $0.key[0] } == (0..<rows.count).map { UInt8($0 + 1) })
            if let log = engine.log { #expect(log.count == rows.count) }
            return rows.count
        }
    }

    @Test(
        "a crash takes what was not flushed; what it leaves is not safe before it is flushed", arguments: [true, false])
    func losesTail(keepsLog: Bool) throws {
        let bench = try Bench(seed: 1, keepsLog: keepsLog)
        for number in 1...5 as ClosedRange<UInt8> { try bench.write(number) }
        try bench.perform { try await $0.flush(upTo: $0.appliedMark) }
        #expect(bench.engine.durableMark == bench.engine.appliedMark)
        for number in 6...9 as ClosedRange<UInt8> { try bench.write(number) }
        #expect(bench.engine.durableMark < bench.engine.appliedMark)
        try bench.crash(leaving: .all)
        #expect(try bench.count() == 9)
        #expect(bench.engine.durableMark < bench.engine.appliedMark)
        #expect(bench.disk.lostTails == 0)
        try bench.crash(leaving: .none)
        #expect(try bench.count() == 5)
        #expect(bench.disk.lostTails == 1)
        try bench.perform { await $0.close() }
        try bench.crash(leaving: .none)
        #expect(try bench.count() == 5)
    }

    @Test("batches go from the end, as many as chance has it")
    func anyTail() throws {
        var counts: Set<Int> = []
        for seed in 1...40 as ClosedRange<UInt64> {
            let bench = try Bench(seed: seed, keepsLog: true)
            for number in 1...4 as ClosedRange<UInt8> { try bench.write(number) }
            try bench.perform { try await $0.flush(upTo: 2) }
            try bench.crash(leaving: .any)
            counts.insert(try bench.count())
        }
        #expect(counts == [2, 3, 4])
    }

    @Test("a flush does not end while the disk stalls")
    func stalls() throws {
        let bench = try Bench(seed: 1, keepsLog: false)
        try bench.write(1)
        bench.disk.isStalled = true
        var hasEnded = false
        let engine = bench.engine
        bench.runtime.spawn("flush") {
            try? await engine.flush(upTo: 1)
            hasEnded = true
        }
        try bench.world.run(for: .seconds(1))
        #expect(!hasEnded && engine.durableMark == 0)
        bench.disk.isStalled = false
        try bench.world.run(for: .milliseconds(1))
        #expect(hasEnded && engine.durableMark == 1)
    }
}
