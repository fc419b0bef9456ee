public import BSON
public import Core
import MemoryStorage

/// A durable storage engine: `MemoryStorage`, written down. Reads are those of memory; every batch goes into a journal
/// (`Journal`), and now and then from there into sorted files (`Checkpoint`), from which memory is filled when it is
/// opened (`Recovery`). Holds what fits into memory.
public final class FileStorage: StorageEngine {
    private let runtime: any NodeRuntime
    private let disk: any Disk
    private let layout: FileLayout
    private var settings: FileSettings
    private let name: String
    private let access: Access
    private let memory = MemoryStorage()
    private var lock: (any DiskLock)?
    @exclusivity(unchecked) private var journal: Journal?
    private var manifest: Manifest?
    /// Number of the last batch when this was opened.
    private var base: UInt64 = 0
    private var isCheckpointing = false
    private var checkpointWaiters: [UnsafeContinuation<Void, Never>] = []
    private var failure: (any Error)?
    private var counters = Counters()
    /// Number of the last batch that took entries back from the log's end, or emptied it: files that do not have it yet
    /// hold what is no part of the log.
    private var logCut: UInt64 = 0
    /// Whether all of the oplog is read at once, on the loop: for those who check a store, and cannot wait.
    public var readsLogNow = false
    /// Whether what was opened had not been closed: what was not synced then may be missing.
    public private(set) var wasUnclean = false

    /// What is done with a directory.
    public enum Access: Sendable {
        case readWrite
        /// Nothing in the directory is changed: what is written stays in memory.
        case inspect
    }

    private struct Counters {
        var checkpoints: Int64 = 0
        var checkpointBytes: Int64 = 0
        var replayed: UInt64 = 0
        var recovery: Duration = .zero
        var oplogReads: Int64 = 0
    }

    /// - Parameters:
    ///   - disk: whose files are used.
    ///   - directory: the store's own; made when it is not there.
    ///   - name: as log lines and the lock name the holder.
    public init(
        _ runtime: any NodeRuntime, _ disk: any Disk, directory: String, name: String,
        settings: FileSettings = FileSettings(), access: Access = .readWrite
    ) {
        self.access = access
        self.runtime = runtime
        self.disk = disk
        layout = FileLayout(root: directory)
        self.name = name
        self.settings = settings
        self.settings.mutants = runtime.simulation?.mutants ?? []
    }

    // MARK: Opening and closing

    public func open() async throws {
        try invariant(journal == nil, "a file store is opened twice")
        do {
            if access == .inspect { try await openToInspect() } else { try await openToWrite() }
        } catch {
            await memory.close()
            lock = nil
            throw error
        }
    }

    private func openToWrite() async throws {
        try await openMemory()
        lock = try await files.takeLock(name, runtime)
        let newStore = runtime.randomNumber()
        let began = runtime.now
        let recovery = Recovery(disk: disk, layout: layout, settings: settings, progress: progress)
        // Nobody else looks at memory until this has ended.
        let (disk, layout, settings, confined) = (disk, layout, settings, Confined(memory))
        let (outcome, writer, begun) = try await runtime.onHelper {
            let outcome = try recovery.run(into: confined.value, newStore: newStore)
            let writer = JournalWriter(
                disk, layout, store: outcome.manifest.store, epoch: outcome.manifest.epoch,
                firstSegment: outcome.manifest.journal.segment, synced: outcome.last, settings: settings)
            let begun =
                if let place = outcome.continuation {
                    try writer.goOn(place, spares: outcome.spares)
                } else {
                    try writer.begin(spares: outcome.spares)
                }
            return (outcome, writer, begun)
        }
        manifest = outcome.manifest
        base = outcome.last
        wasUnclean = outcome.wasUnclean
        counters.replayed = outcome.replayedBatches
        counters.recovery = runtime.now - began
        if outcome.wasUnclean {
            runtime.log.log(
                .info, "storage",
                "\(layout.root) was not closed: \(outcome.replayedBatches) batches, \(outcome.journalBytes >> 10) KB, "
                    + "came out of the journal in \(counters.recovery.wholeMilliseconds) ms")
        }
        logCut = base
        start(Journal(runtime, writer, begun, last: base, interval: settings.journalCommitInterval))
        offerLog()
    }

    private func openMemory() async throws {
        memory.useLogFiles(
            OplogSegmentReader(disk: disk, layout: layout), memoryBytesMax: settings.oplogMemoryBytes,
            mutants: settings.mutants
        ) { [unowned self] in readsLogNow || runtime.simulation?.isInspecting == true }
        try await memory.open()
    }

    private func openToInspect() async throws {
        let (disk, layout) = (disk, layout)
        guard try await runtime.onHelper({ try Manifest.read(disk, layout) != nil }) else {
            throw StorageDamage("\(layout.root) is not a data directory of quorate: it has no manifest")
        }
        try await openMemory()
        lock = try await files.takeLock(name, runtime)
        let recovery = Recovery(disk: disk, layout: layout, settings: settings, progress: progress)
        let confined = Confined(memory)
        let outcome = try await runtime.onHelper { try recovery.inspect(into: confined.value) }
        manifest = outcome.manifest
        base = memory.appliedMark
        wasUnclean = outcome.wasUnclean
        counters.replayed = outcome.replayedBatches
    }

    /// Says how far a long recovery is. Called on its thread.
    private var progress: @Sendable (Recovery.Progress) -> Void {
        let log = Confined(runtime.log)
        let (mailbox, root) = (runtime.mailbox, layout.root)
        return { progress in
            mailbox.enqueue {
                log.value.log(
                    .info, "storage",
                    "reading \(root): \(progress.what), \(progress.bytes >> 20) of \(progress.total >> 20) MB")
            }
        }
    }

    private func start(_ journal: Journal) {
        self.journal = journal
        journal.onWritten = { [weak self] in self?.checkpointIfDue() }
        journal.onFailure = { [weak self] error in
            self?.runtime.log.log(.error, "storage", "the journal cannot be written any more: \(error)")
        }
        journal.onFull = { [weak self] isFull in self?.diskBecame(full: isFull) }
        journal.start()
    }

    private func diskBecame(full: Bool) {
        runtime.log.log(
            full ? .error : .warning, "storage",
            full
                ? "the disk of \(layout.root) is full: writes are refused until there is room"
                : "the disk of \(layout.root) has room again: writes go on")
    }

    public func close() async {
        guard let journal else {
            manifest = nil
            await memory.close()
            lock = nil
            return
        }
        if failure == nil, journal.failure == nil {
            journal.beginClose()
            do {
                try await journal.flush(upTo: journal.last)
                try await checkpoint()
            } catch {
                runtime.log.log(.error, "storage", "\(layout.root) could not be closed in good order: \(error)")
            }
        }
        await journal.close()
        await endOfCheckpoint()
        if failure == nil, journal.failure == nil, var manifest, manifest.checkpoint == journal.last {
            manifest.isClean = true
            let (disk, layout, mutants, closed) = (disk, layout, settings.mutants, manifest)
            do { try await runtime.onHelper { try closed.write(disk, layout, mutants) } } catch {
                runtime.log.log(.error, "storage", "\(layout.root) could not be closed in good order: \(error)")
            }
        }
        self.journal = nil
        self.manifest = nil
        await memory.close()
        lock = nil
    }

    // MARK: The engine

    /// Number of the last batch, counted from the first that the directory was given.
    public var lastBatch: UInt64 { base + appliedMark }
    public var log: (any StorageLog)? { memory.log }
    public var survivesRestart: Bool { true }
    /// Nothing of a node's own is put into a directory that is only looked at.
    public var directory: DataDirectory? { access == .inspect ? nil : files }
    private var files: DataDirectory { DataDirectory(disk, layout.root) }
    public var appliedMark: UInt64 { journal.map { $0.last - base } ?? inspectedMark }
    public var durableMark: UInt64 { journal.map { $0.durable - base } ?? inspectedMark }
    /// What was written to a directory that is not to be changed.
    private var inspectedMark: UInt64 {
        access == .inspect && memory.appliedMark > base ? memory.appliedMark - base : 0
    }

    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
        try memory.get(table, key)
    }
    public func makeCursor(_ table: TableID) throws -> any StorageCursor { try memory.makeCursor(table) }

    public func apply(_ batch: WriteBatch) throws {
        guard let journal else {
            guard access == .inspect else { throw ServerError(.internalError, "the file store is not open") }
            return try memory.apply(batch)
        }
        if let failure = failure ?? journal.failure { throw failure }
        // Checks the batch, and refuses it before anything shows.
        try memory.apply(batch)
        journal.append(batch)
        if batch.truncatesAfter != nil || batch.truncatesThrough == .max { logCut = journal.last }
    }

    public func flush(upTo mark: UInt64) async throws {
        guard let journal else {
            guard access == .inspect else { throw ServerError(.internalError, "the file store is not open") }
            return
        }
        try await journal.flush(upTo: base + mark)
    }

    /// Why no more may be written for now.
    public var writeRefusal: ServerError? {
        guard let journal, journal.isFull else { return nil }
        return ServerError(
            .outOfDiskSpace, "the disk of \(layout.root) is full: make room, and writes go on by themselves")
    }

    /// Whether writers should wait for the disk.
    public var isBehind: Bool { (journal?.waitingBytes ?? 0) > Limits.journalWaitingBytesMax }

    public func statistics(_ table: TableID) -> StorageTableStatistics { memory.statistics(table) }

    public var statistics: Document {
        Document {
            $0.append("name", string: "file")
            $0.append("directory", string: layout.root)
            $0.append("bytesAllocated", int64: memory.statistics["bytesAllocated"]?.asInteger ?? 0)
            $0.append("batchesApplied", int64: Int64(bitPattern: appliedMark))
            $0.append("batchesDurable", int64: Int64(bitPattern: durableMark))
            $0.append("journalBytesWritten", int64: journal?.bytesWritten ?? 0)
            $0.append("journalSyncs", int64: journal?.syncs ?? 0)
            $0.append("checkpoints", int64: counters.checkpoints)
            $0.append("checkpointBytesWritten", int64: counters.checkpointBytes)
            $0.append("runs", int64: Int64(manifest?.runs.count ?? 0))
            $0.append("runBytes", int64: Int64(manifest?.runs.reduce(0) { $0 + $1.bytes } ?? 0))
            $0.append("oplogSegments", int64: Int64(manifest?.oplog.segments.count ?? 0))
            $0.append("oplogBytes", int64: Int64(manifest?.oplog.segments.reduce(0) { $0 + $1.bytes } ?? 0))
            $0.append("oplogSegmentsInFilesOnly", int64: Int64(memory.logSegmentsStored))
            $0.append("oplogMemoryBytes", int64: Int64(memory.logMemoryBytes))
            $0.append("oplogReads", int64: counters.oplogReads)
            $0.append("unclean", bool: wasUnclean)
            $0.append("replayedBatches", int64: Int64(bitPattern: counters.replayed))
            $0.append("recoveryMillis", int64: counters.recovery.wholeMilliseconds)
        }
    }

    // MARK: Checkpoints

    private func checkpointIfDue() {
        guard let journal, journal.bytesSinceCheckpoint >= settings.checkpointJournalBytes, !isCheckpointing else {
            return
        }
        runtime.spawn("checkpoint") { [weak self] in
            do { try await self?.checkpoint() } catch { self?.fail(error) }
        }
    }

    private func fail(_ error: any Error) {
        if let error = error as? DiskError, error.kind == .full {
            // The journal keeps what could not be moved; the next checkpoint tries again.
            return runtime.log.log(.error, "storage", "no checkpoint could be written: \(error)")
        }
        failure = error
        runtime.log.log(.error, "storage", "\(error)")
    }

    /// Moves what is durable in the journal into sorted files.
    public func checkpoint() async throws {
        await endOfCheckpoint()
        guard let journal, let manifest else { return }
        guard journal.durable > manifest.checkpoint else { return }
        isCheckpointing = true
        defer {
            isCheckpointing = false
            let waiting = checkpointWaiters
            checkpointWaiters.removeAll()
            for waiter in waiting { waiter.resume() }
        }
        journal.beginCheckpoint()
        let (through, end) = (journal.durable, journal.end)
        if settings.mutants.isActive(.journalReusedEarly) { journal.checkpointed(to: end) }
        let (disk, layout, settings) = (disk, layout, sized)
        let (next, written) = try await runtime.onHelper {
            var checkpoint = Checkpoint(disk, layout, manifest, settings)
            let unused = try checkpoint.run(through: through, end: end)
            for path in unused { try disk.remove(path) }
            return (checkpoint.manifest, checkpoint.bytesWritten)
        }
        self.manifest = next
        counters.checkpoints += 1
        counters.checkpointBytes += Int64(written)
        journal.checkpointed(to: end)
        offerLog()
    }

    /// A log has many pieces, whatever its size, so that a few are dropped when it is full.
    private var sized: FileSettings {
        var sized = settings
        if let most = memory.logBytesExpected {
            sized.oplogSegmentBytes = min(sized.oplogSegmentBytes, max(most / 16, Limits.oplogBlockBytes))
        }
        return sized
    }

    /// Tells the log which of its files are complete: of these it need not hold what is in them.
    private func offerLog() {
        guard let manifest, logCut <= manifest.checkpoint || settings.mutants.isActive(.oplogBranchIgnored) else {
            return
        }
        memory.offerLog(manifest.oplog.segments.dropLast().compactMap(\.stored))
    }

    private func endOfCheckpoint() async {
        while isCheckpointing {
            await withUnsafeContinuation { checkpointWaiters.append($0) }
        }
    }
}

extension FileStorage: StorageManyReading {
    public func getMany(
        _ table: TableID, keys: UnsafeBufferPointer<UnsafeRawPointer?>, keyByteCount: Int,
        into values: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    ) throws {
        try memory.getMany(table, keys: keys, keyByteCount: keyByteCount, into: values)
    }
}

extension FileStorage: StorageSnapshots {
    public func openSnapshot() throws -> any StorageSnapshot { try memory.openSnapshot() }
}

/// Of the oplog only what is newest is in memory; tables are as a whole.
extension FileStorage: StoragePrefetching {
    public func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws {
        guard table == .oplog else { return }
        counters.oplogReads += Int64(keys.count)
        try await memory.prefetchLog(keys, runtime)
    }

    public func keepResident(_ table: TableID) {}
}
