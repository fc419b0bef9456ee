public import BSON
import CRocks
public import Core

/// A durable storage engine for data larger than memory, over RocksDB.
///
/// Every batch takes effect in memory at once and is written by a helper thread (`RocksDBWriter`); reads look through
/// what was not written yet, and through what RocksDB has in memory, and never touch the disk: what they do not find
/// there has to be prefetched, which a helper thread does. All tables are in one key space, behind their numbers: a
/// table costs nothing and exists from its first put, all of a batch goes into one log, and a drop is one range.
public final class RocksDBStorage: StorageEngine {
    let runtime: any NodeRuntime
    private let disk: any Disk
    let layout: RocksDBLayout
    let settings: RocksDBSettings
    private let name: String
    private var lock: (any DiskLock)?
    private var identity: StoreIdentity?
    /// `crocks_store *`, from `open` to `close`.
    @exclusivity(unchecked) private(set) var store: OpaquePointer?
    @exclusivity(unchecked) private var writer: RocksDBWriter?
    /// Number of the last batch when this was opened.
    private var base: UInt64 = 0
    private var isReleaseDue = false
    /// What a read that failed says.
    let readError = UnsafeMutablePointer<crocks_error>.allocate(capacity: 1)
    private var jobs = 0
    private var jobWaiters: [UnsafeContinuation<Void, Never>] = []
    private var checkpoints: Int64 = 0
    private var isSweeping = false
    private var isClosing = false
    /// Whether what was opened had not been closed: what was not synced then may be missing.
    public private(set) var wasUnclean = false

    var misses = MissNotes()
    var streams = ScanStreams()
    var kept: Set<TableID> = []
    var lastPrefetch: Instant?
    var prefetchedKeys: Int64 = 0

    /// - Parameters:
    ///   - disk: where the directory is; RocksDB itself uses the machine's files.
    ///   - directory: the store's own; made when it is not there.
    ///   - name: as the lock names the holder.
    public init(
        _ runtime: any NodeRuntime, _ disk: any Disk, directory: String, name: String,
        settings: RocksDBSettings = RocksDBSettings()
    ) {
        self.runtime = runtime
        self.disk = disk
        layout = RocksDBLayout(root: directory)
        self.name = name
        self.settings = settings
    }

    deinit {
        readError.deallocate()
        // Never closed: what was not written is lost, as with the process.
        guard let store else { return }
        crocks_release_all(store)
        crocks_close(store, false)
    }

    // MARK: Opening and closing

    public func open() async throws {
        try invariant(store == nil, "a store is opened twice")
        lock = try await files.takeLock(name, runtime)
        do {
            let newStore = runtime.randomNumber()
            let opening = RocksDBOpening(disk: disk, layout: layout, settings: settings)
            let outcome = try await runtime.onHelper { try opening.run(newStore: newStore) }
            store = outcome.store
            identity = outcome.identity
            wasUnclean = outcome.wasUnclean
            base = crocks_last(outcome.store)
            start(
                RocksDBWriter(
                    runtime, outcome.store, outcome.mark, directory: layout.data,
                    interval: settings.journalCommitInterval))
            for table in kept.sorted() { crocks_keep(outcome.store, table.rawValue) }
        } catch {
            lock = nil
            throw error
        }
        if wasUnclean {
            runtime.log.log(.info, "storage", "\(layout.root) was not closed: its log was read up to batch \(base)")
        }
    }

    private func start(_ writer: RocksDBWriter) {
        self.writer = writer
        writer.onFailure = { [weak self] error in
            self?.runtime.log.log(.error, "storage", "nothing can be written any more: \(error)")
        }
        writer.onFull = { [weak self] isFull in
            guard let self else { return }
            runtime.log.log(
                isFull ? .error : .warning, "storage",
                isFull
                    ? "the disk of \(layout.root) is full: writes are refused until there is room"
                    : "the disk of \(layout.root) has room again: writes go on")
        }
        writer.onWritten = { [weak self] in
            self?.forgetScans()
            self?.sweepSoon()
        }
        sweepSoon()
    }

    public func close() async {
        guard let writer, let store, var identity else { return }
        isClosing = true
        defer { isClosing = false }
        var isWritten = false
        do {
            try await writer.finishWriting()
            isWritten = true
        } catch {
            runtime.log.log(.error, "storage", "\(layout.root) could not be closed in good order: \(error)")
        }
        await writer.close()
        while jobs > 0 { await withUnsafeContinuation { jobWaiters.append($0) } }
        crocks_release_all(store)
        self.store = nil
        self.writer = nil
        identity.isClean = isWritten
        let (disk, layout) = (disk, layout)
        let closed = Confined((store, identity))
        do {
            try await runtime.onHelper {
                let (store, identity) = closed.value
                crocks_close(store, identity.isClean)
                if identity.isClean { try identity.write(disk, layout) }
            }
        } catch {
            runtime.log.log(.error, "storage", "\(layout.root) could not be closed in good order: \(error)")
        }
        lock = nil
    }

    @inline(__always)
    func opened() throws -> OpaquePointer {
        guard let store else { throw ServerError(.internalError, "the store is not open") }
        return store
    }

    /// Runs a job that uses the store, which is not closed before that has ended.
    func job<Answer>(_ work: @escaping @Sendable () throws -> Answer) async throws -> Answer {
        jobs += 1
        defer { endJob() }
        return try await runtime.onHelper(work)
    }

    private func endJob() {
        jobs -= 1
        guard jobs == 0 else { return }
        let waiting = jobWaiters
        jobWaiters.removeAll()
        for waiter in waiting { waiter.resume() }
    }

    /// Removes what is left of tables that were dropped, a piece at a time.
    private func sweepSoon() {
        guard !isSweeping, !isClosing, let store, let sweep = crocks_sweep_begin(store) else { return }
        isSweeping = true
        jobs += 1
        let confined = Confined(sweep)
        let outcome = SweepOutcome()
        runtime.offload {
            outcome.failure = RocksDBFailure.of { crocks_sweep_run(confined.value, Limits.sweptRowsPerJob, $0) }
        } completion: { [self] in
            crocks_sweep_end(store, sweep)
            isSweeping = false
            endJob()
            // A disk that is full has room later; what else is wrong, the next read or write says.
            if outcome.failure == nil { sweepSoon() }
        }
    }

    /// What a job says of its end.
    private final class SweepOutcome: @unchecked Sendable {
        // Written by the job, read when it has ended.
        var failure: RocksDBFailure?
    }

    // MARK: The engine

    public var survivesRestart: Bool { true }
    public var directory: DataDirectory? { files }
    private var files: DataDirectory { DataDirectory(disk, layout.root) }
    public var appliedMark: UInt64 { writer.map { $0.last - base } ?? 0 }
    public var durableMark: UInt64 { writer.map { $0.durable - base } ?? 0 }

    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
        let store = try opened()
        releaseSoon()
        var value = crocks_bytes()
        switch crocks_get(store, table.rawValue, crocks_bytes(key), &value, readError) {
        case CROCKS_OK: return .found(UnsafeRawBufferPointer(value))
        case CROCKS_ABSENT: return .absent
        case CROCKS_NOT_RESIDENT:
            misses.note(table, key, CROCKS_GET)
            return .notResident
        case let status: throw RocksDBFailure(status, readError).error("reading", layout.data)
        }
    }

    public func makeCursor(_ table: TableID) throws -> any StorageCursor { RocksDBCursor(self, table) }

    /// What reads hand out is valid until the loop does something else.
    @inline(__always)
    func releaseSoon() {
        guard !isReleaseDue else { return }
        isReleaseDue = true
        runtime.enqueue { [weak self] in
            guard let self else { return }
            isReleaseDue = false
            if let store { crocks_release(store) }
        }
    }

    public func apply(_ batch: WriteBatch) throws {
        let store = try opened()
        if let failure = writer?.failure { throw failure }
        let bytes = batch.buffer.bytes
        // Checked as a whole first: nothing of a bad batch may show.
        if let problem = crocks_check(bytes.baseAddress, bytes.count) {
            throw InvariantViolation(String(cString: problem))
        }
        crocks_apply(store, bytes.baseAddress, bytes.count)
        writer?.applied()
    }

    public func flush(upTo mark: UInt64) async throws {
        _ = try opened()
        try await writer?.flush(upTo: base + mark)
    }

    /// Moves what is in write buffers into sorted files, so that the next start has no log to read.
    public func checkpoint() async throws {
        let store = Confined(try opened())
        try await writer?.flush(upTo: writer?.last ?? 0)
        if let failure = try await job({ RocksDBFailure.of { crocks_flush(store.value, $0) } }) {
            throw failure.error("flushing", layout.data)
        }
        checkpoints += 1
    }

    public var writeRefusal: ServerError? {
        guard let writer, writer.isFull else { return nil }
        return ServerError(
            .outOfDiskSpace, "the disk of \(layout.root) is full: make room, and writes go on by themselves")
    }

    public var isBehind: Bool { (writer?.waitingBytes ?? 0) > Limits.journalWaitingBytesMax }

    public func statistics(_ table: TableID) -> StorageTableStatistics {
        guard let store else { return StorageTableStatistics(entries: 0, bytes: 0) }
        var (entries, bytes): (Int64, Int64) = (0, 0)
        crocks_count(store, table.rawValue, &entries, &bytes)
        return StorageTableStatistics(entries: Int(entries), bytes: Int(bytes))
    }

    public var statistics: Document {
        let properties = writer?.properties ?? crocks_properties()
        func append(_ writer: DocumentWriter, _ name: StaticString, _ value: UInt64) {
            writer.append(name, int64: Int64(clamping: value))
        }
        return Document {
            $0.append("name", string: "rocksdb")
            $0.append("directory", string: layout.root)
            append($0, "batchesApplied", appliedMark)
            append($0, "batchesDurable", durableMark)
            append($0, "waitingBytes", UInt64(writer?.waitingBytes ?? 0))
            $0.append("journalSyncs", int64: writer?.syncs ?? 0)
            $0.append("checkpoints", int64: checkpoints)
            $0.append("notResident", int64: misses.count)
            $0.append("prefetchedKeys", int64: prefetchedKeys)
            $0.append("cacheBytes", int64: Int64(settings.cacheBytes))
            append($0, "cacheBytesUsed", properties.cache_used_bytes)
            append($0, "cacheBytesPinned", properties.cache_pinned_bytes)
            append($0, "writeBufferBytes", properties.write_buffer_bytes)
            append($0, "indexAndFilterBytes", properties.table_reader_bytes)
            append($0, "fileBytes", properties.file_bytes)
            append($0, "level0Files", properties.level0_files)
            append($0, "pendingCompactionBytes", properties.pending_compaction_bytes)
            append($0, "runningCompactions", properties.running_compactions)
            append($0, "delayedWriteRate", properties.delayed_write_rate)
            $0.append("isWriteStopped", bool: properties.is_write_stopped != 0)
            append($0, "backgroundErrors", properties.background_errors)
            $0.append("unclean", bool: wasUnclean)
        }
    }
}

extension crocks_bytes {
    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) { self.init(start: bytes.baseAddress, count: bytes.count) }
}

extension UnsafeRawBufferPointer {
    @inline(__always)
    init(_ bytes: crocks_bytes) { self.init(start: bytes.start, count: bytes.count) }
}
