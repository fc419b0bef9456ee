import BSON
import Core
import MemoryStorage

/// A simulated disk: what a member's runs have in common.
///
/// A flush takes its time. Of the batches that were written and not flushed a crash takes some away, from the end, as
/// many as chance has it: what a killed process has left in a cache of the machine, and what a power cut has left of
/// that. What a run finds when it is started is not safe for that: until it is flushed, the next crash may take it.
final class LossyDisk: MemberDisk {
    private let name: String
    let keepsLog: Bool
    private let flushTime: Duration
    private var generator: SeededGenerator
    private var ledger = DiskLedger()
    private var isInUse = false
    private var lastRun: Run?
    private var stalled: [UnsafeContinuation<Void, Never>] = []

    /// What the next crash leaves.
    var survivors = DiskSurvivors.any
    /// How often a crash has taken batches.
    private(set) var lostTails = 0
    /// Flushes that have begun do not end.
    var isStalled = false {
        didSet {
            guard !isStalled else { return }
            let waiting = stalled
            stalled = []
            for flush in waiting { flush.resume() }
        }
    }

    /// - Parameters:
    ///   - keepsLog: whether the engine keeps the oplog itself, or has tables only.
    ///   - flushTime: how long a flush takes at most; zero for a disk that is safe at once and loses nothing.
    init(name: String, seed: UInt64, keepsLog: Bool, flushTime: Duration) {
        self.name = name
        self.keepsLog = keepsLog
        self.flushTime = flushTime
        generator = SeededGenerator(seed: seed, purpose: "disk of \(name)")
    }

    /// Whether an entry of the oplog is safe.
    func holds(_ optime: OpTime) -> Bool { ledger.image.holds(optime) }

    /// The engine of one run. The run before has come to its end.
    func engine(_ runtime: SimulatedRuntime) -> any StorageEngine {
        if isInUse { loseTail() }
        let run = Run(self, runtime)
        defer { lastRun = run }
        run.previous = lastRun
        return run
    }

    private func loseTail() {
        isInUse = false
        let count = ledger.unsafe.count
        let kept =
            switch survivors {
            case .any: Int(generator.next(below: UInt64(count) + 1))
            case .all: count
            case .none: 0
            }
        survivors = .any
        if kept < count { lostTails += 1 }
        ledger.loseTail(keeping: kept)
    }

    private func note(_ batch: WriteBatch) {
        ledger.note(DiskImage.Change(batch, keepsLog: keepsLog))
        if flushTime == .zero { ledger.sync(upTo: ledger.writtenCount) }
    }

    /// What the engine finds when it is opened.
    private func load(_ memory: MemoryStorage) throws {
        isInUse = true
        try ledger.whole.restore(to: memory)
    }

    private final class Run: StorageEngine {
        private let disk: LossyDisk
        private unowned let runtime: SimulatedRuntime
        private let memory = MemoryStorage()
        /// An engine does not know what an earlier run has flushed.
        private(set) var durableMark: UInt64 = 0
        var previous: Run?

        init(_ disk: LossyDisk, _ runtime: SimulatedRuntime) {
            self.disk = disk
            self.runtime = runtime
        }

        func open() async throws {
            await previous?.memory.close()
            previous = nil
            try await memory.open()
            try disk.load(memory)
            if disk.flushTime == .zero { durableMark = appliedMark }
        }

        func close() async {
            disk.ledger.sync(upTo: appliedMark)
            disk.isInUse = false
        }

        var survivesRestart: Bool { true }
        func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try memory.get(table, key) }
        func makeCursor(_ table: TableID) throws -> any StorageCursor { try memory.makeCursor(table) }

        func apply(_ batch: WriteBatch) throws {
            try memory.apply(batch)
            disk.note(batch)
            if disk.flushTime == .zero { durableMark = appliedMark }
        }

        var appliedMark: UInt64 { disk.ledger.writtenCount }

        func flush(upTo mark: UInt64) async throws {
            guard mark > durableMark else { return }
            await runtime.sleep(for: .nanoseconds(Int64(runtime.random(below: UInt64(disk.flushTime.nanoseconds)))))
            while disk.isStalled {
                await withUnsafeContinuation { disk.stalled.append($0) }
            }
            disk.ledger.sync(upTo: mark)
            durableMark = max(durableMark, mark)
        }

        var log: (any StorageLog)? { disk.keepsLog ? memory.log : nil }
        func checkpoint() async throws {}
        func statistics(_ table: TableID) -> StorageTableStatistics { memory.statistics(table) }
        var statistics: Document { memory.statistics }
    }
}
