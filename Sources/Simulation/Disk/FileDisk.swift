import BSON
import Core
import FileStorage

/// The files of a member over its runs: storage in files, on a disk that does what disks may do.
///
/// A crash is the end of a process, or a loss of power, which leaves parts of what was not synced. All batches are kept
/// account of: what a run finds when it opens its files is what was called durable and a beginning of the rest, to the
/// byte.
final class FileDisk: MemberDisk {
    private let name: String
    private let disk: SimulatedDisk
    private let settings: FileSettings
    private var generator: SeededGenerator
    private var ledger = DiskLedger()
    private var lastRun: Run?
    private var isInUse = false
    private var isCalm = false
    private var failuresBefore = 0
    private(set) var lostTails = 0
    var survivors = DiskSurvivors.any
    var isStalled = false { didSet { lastRun?.runtime?.areHelpersStuck = isStalled } }

    /// What was found is not what was written.
    private struct Discrepancy: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameter onPowerCut: called when the power is cut.
    init(name: String, seed: UInt64, onPowerCut: @escaping () -> Void) {
        self.name = name
        generator = SeededGenerator(seed: seed, purpose: "files of \(name)")
        disk = SimulatedDisk(seed: generator.next())
        settings = FileDisk.drawSettings(&generator)
        disk.onPowerCut = onPowerCut
    }

    /// Sizes that let a short run have many segments, checkpoints and merges.
    private static func drawSettings(_ generator: inout SeededGenerator) -> FileSettings {
        var settings = FileSettings()
        settings.journalCommitInterval = .milliseconds(5 + Int64(generator.next(below: 200)))
        settings.segmentBytes = 8192 << Int(generator.next(below: 4))
        settings.checkpointJournalBytes = 4096 << Int(generator.next(below: 5))
        settings.checkpointChunkBytes = 2048 << Int(generator.next(below: 5))
        settings.oplogSegmentBytes = 512 << Int(generator.next(below: 7))
        // Of most oplogs the greater part is in files only.
        if generator.nextBool(probability: 0.7) { settings.oplogMemoryBytes = Int(generator.next(below: 16_384)) }
        return settings
    }

    // MARK: Runs

    func engine(_ runtime: SimulatedRuntime) -> any StorageEngine {
        noteDurable()
        if isInUse { endRun() }
        failuresBefore = disk.failures
        let run = Run(self, runtime)
        lastRun = run
        runtime.mayHelpersBeLate = true
        runtime.areHelpersStuck = isStalled
        return run
    }

    private func endRun() {
        isInUse = false
        let isPowerCut =
            switch survivors {
            case .any: generator.nextBool(probability: 0.5)
            case .all: false
            case .none: true
            }
        survivors = .any
        guard isPowerCut || disk.isOff else { return disk.endProcess() }
        disk.restart()
        // Of crashes some come while what an earlier one has left is put in order.
        if !isCalm, generator.nextBool(probability: 0.3) { _ = cutPower(afterCalls: Int(generator.next(below: 60))) }
    }

    private func noteDurable() {
        if let lastRun, let first = lastRun.first { ledger.sync(upTo: first + lastRun.store.durableMark) }
    }

    func holds(_ optime: OpTime) -> Bool {
        noteDurable()
        return ledger.image.holds(optime)
    }

    /// Compares what a run finds with what was written.
    private func check(_ store: FileStorage) throws {
        let found = store.lastBatch
        guard found >= ledger.safeCount, found <= ledger.writtenCount else {
            throw Discrepancy(
                description: "the files of \(name) hold \(found) batches; \(ledger.safeCount) of "
                    + "\(ledger.writtenCount) were called durable")
        }
        if found < ledger.writtenCount { lostTails += 1 }
        ledger.loseTail(keeping: Int(found - ledger.safeCount))
        ledger.sync(upTo: found)
        store.readsLogNow = true
        defer { store.readsLogNow = false }
        if let difference = try ledger.image.difference(from: store) {
            throw Discrepancy(description: "the files of \(name) do not hold what was written: \(difference)")
        }
    }

    // MARK: What goes wrong

    func cutPower(afterCalls count: Int) -> Bool {
        disk.failure = (disk.calls + 1 + count, nil)
        return true
    }

    func failCall(after count: Int) -> Bool {
        disk.failure = (disk.calls + 1 + count, .other)
        return true
    }

    func setRoom(_ bytes: Int?) -> Bool {
        disk.capacity = bytes.map { disk.usedBytes + $0 }
        return true
    }

    func calm() {
        isCalm = true
        isStalled = false
        disk.capacity = nil
        if !disk.isOff { disk.failure = nil }
    }

    func hasCaused(_ error: any Error, opening: Bool) -> Bool {
        let text = "\(error)"
        // A member goes on when its disk is full, but cannot be started.
        if text.contains("no space left") { return opening }
        return disk.failures > failuresBefore && (text.contains("the simulated disk") || text.contains("the power is"))
    }

    // MARK: One run

    private final class Run: StoragePrefetching {
        private let disk: FileDisk
        private(set) weak var runtime: SimulatedRuntime?
        let store: FileStorage
        /// The number of the last batch that it found; nil before it is open.
        private(set) var first: UInt64?

        init(_ disk: FileDisk, _ runtime: SimulatedRuntime) {
            self.disk = disk
            self.runtime = runtime
            store = FileStorage(runtime, disk.disk, directory: "/data", name: disk.name, settings: disk.settings)
        }

        func open() async throws {
            disk.isInUse = true
            try await store.open()
            try disk.check(store)
            first = store.lastBatch
        }

        func close() async {
            await store.close()
            disk.noteDurable()
            disk.isInUse = false
        }

        func apply(_ batch: WriteBatch) throws {
            try store.apply(batch)
            disk.ledger.note(DiskImage.Change(batch, keepsLog: true))
        }

        func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws { try await store.prefetch(table, keys) }
        func keepResident(_ table: TableID) { store.keepResident(table) }
        var survivesRestart: Bool { store.survivesRestart }
        var directory: DataDirectory? { store.directory }
        func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try store.get(table, key) }
        func makeCursor(_ table: TableID) throws -> any StorageCursor { try store.makeCursor(table) }
        var appliedMark: UInt64 { store.appliedMark }
        var durableMark: UInt64 { store.durableMark }
        func flush(upTo mark: UInt64) async throws { try await store.flush(upTo: mark) }
        var log: (any StorageLog)? { store.log }
        var writeRefusal: ServerError? { store.writeRefusal }
        var isBehind: Bool { store.isBehind }
        func checkpoint() async throws { try await store.checkpoint() }
        func statistics(_ table: TableID) -> StorageTableStatistics { store.statistics(table) }
        var statistics: Document { store.statistics }
    }
}
