public import BSON
public import Core
internal import CTree

/// A volatile storage engine: one copy-on-write B+tree a table, in C, over one slab allocator.
///
/// Nothing survives `close`; the durable mark is the applied mark, so that `j: true` is met at once
/// (docs/divergence.md).
public final class MemoryStorage: StorageEngine {
    /// `ctree_store *`, from `open` to `close`.
    @exclusivity(unchecked) private var store: OpaquePointer?
    @exclusivity(unchecked) public private(set) var appliedMark: UInt64 = 0
    /// How often the store was opened: a snapshot of an earlier time is dead.
    fileprivate var openings = 0

    public init() {}

    deinit {
        if let store { ctree_store_destroy(store) }
    }

    public func open() async throws {
        try invariant(store == nil, "a memory store is opened twice")
        store = ctree_store_create()
        openings += 1
    }

    public func close() async {
        if let store { ctree_store_destroy(store) }
        store = nil
        memoryLog.removeAll()
    }

    private let memoryLog = MemoryLog()
    public var log: (any StorageLog)? { memoryLog }

    fileprivate var isOpen: Bool { store != nil }

    public var survivesRestart: Bool { false }
    public var durableMark: UInt64 { appliedMark }

    @inline(__always) private func opened() throws -> OpaquePointer {
        guard let store else { throw ServerError(.internalError, "the memory store is not open") }
        return store
    }

    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
        guard let tree = ctree_find(try opened(), table.rawValue) else { return .absent }
        var view = ctree_current(tree)
        var row = ctree_row()
        guard ctree_get(&view, key.baseAddress, key.count, &row) else { return .absent }
        return .found(UnsafeRawBufferPointer(start: row.value, count: Int(row.value_length)))
    }

    public func makeCursor(_ table: TableID) throws -> any StorageCursor {
        MemoryCursor(storage: self, table: table)
    }

    public func apply(_ batch: WriteBatch) throws {
        let store = try opened()
        let bytes = batch.buffer.bytes
        // Checked as a whole first: nothing of a bad batch may show.
        let problem = ctree_batch_check(bytes.baseAddress, bytes.count)
        try invariant(problem == 0, String(cString: ctree_batch_error_text(problem)))
        if batch.changesLog {
            try memoryLog.check(batch)
            memoryLog.apply(batch)
        }
        ctree_batch_apply(store, bytes.baseAddress, bytes.count)
        appliedMark += 1
    }

    public func flush(upTo mark: UInt64) async throws {}

    /// There is nothing to write.
    public func checkpoint() async throws {}

    public func statistics(_ table: TableID) -> StorageTableStatistics {
        guard let view = view(of: table) else { return StorageTableStatistics(entries: 0, bytes: 0) }
        return StorageTableStatistics(entries: Int(view.count), bytes: Int(view.bytes))
    }

    public var statistics: Document {
        let memory = store.map { ctree_store_memory($0) } ?? 0
        let snapshots = store.map { ctree_snapshots_open($0) } ?? 0
        return Document {
            $0.append("name", string: "memory")
            $0.append("bytesAllocated", int64: Int64(memory))
            $0.append("openSnapshots", int64: Int64(snapshots))
            $0.append("batchesApplied", int64: Int64(bitPattern: appliedMark))
        }
    }

    /// The present state of a table; nil for one that is not there.
    func view(of table: TableID) -> ctree_view? {
        guard let store, let tree = ctree_find(store, table.rawValue) else { return nil }
        return ctree_current(tree)
    }
}

// MARK: Putting back

extension MemoryStorage {
    /// Carries out operations in the form of a batch, without counting them: what an engine that keeps its data in
    /// memory finds in its files.
    /// - Throws: `InvariantViolation` when they are not whole operations; nothing is changed then.
    public func restore(_ operations: UnsafeRawBufferPointer) throws {
        let problem = ctree_batch_check(operations.baseAddress, operations.count)
        try invariant(problem == 0, String(cString: ctree_batch_error_text(problem)))
        ctree_batch_apply(try opened(), operations.baseAddress, operations.count)
    }

    /// Adds a sealed frame of entries (`LogFrame`) behind the log's last, unless it ends at or before `dropped`.
    public func restoreLog(_ frame: [UInt8], behind dropped: Timestamp) throws {
        try memoryLog.restore(frame, behind: dropped)
    }

    // MARK: An oplog in files

    /// Lets the front of the log be in files: what is more than `memoryBytesMax` of memory holds.
    /// - Parameter readsNow: whether what is in files is to be read at once, on the loop, in place of being missed.
    public func useLogFiles(
        _ files: any LogSegmentReading, memoryBytesMax: Int, mutants: Mutants, readsNow: @escaping () -> Bool
    ) {
        memoryLog.stored.files = files
        memoryLog.stored.readsNow = readsNow
        memoryLog.memoryBytesMax = memoryBytesMax
        memoryLog.mutants = mutants
    }

    /// Adds a segment that stays in its file, before any other part of the log is put back.
    public func restoreLog(_ segment: StoredLogSegment) throws { try memoryLog.begin(with: segment) }

    /// Names all segments that are complete, oldest first: they hold what the log holds, and may be read in its place.
    public func offerLog(_ segments: [StoredLogSegment]) { memoryLog.offer(segments) }

    /// Reads what of the log was missed at the keys (`TableID.oplog`).
    public func prefetchLog(_ keys: [[UInt8]], _ runtime: any NodeRuntime) async throws {
        for key in keys where key.count == 8 {
            let timestamp = key.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
            try await memoryLog.stored.prefetch(Timestamp(rawValue: timestamp), runtime)
        }
    }

    /// How large the log is to become; nil when nobody said.
    public var logBytesExpected: Int? { memoryLog.expectedBytes }
    /// Bytes of the log that are in memory, and segments that are not.
    public var logMemoryBytes: Int { memoryLog.memoryBytes }
    public var logSegmentsStored: Int { memoryLog.stored.segments.count }
}

extension MemoryStorage: StorageManyReading {
    public func getMany(
        _ table: TableID, keys: UnsafeBufferPointer<UnsafeRawPointer?>, keyByteCount: Int,
        into values: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    ) throws {
        guard let tree = ctree_find(try opened(), table.rawValue) else {
            values.update(repeating: UnsafeRawBufferPointer(start: nil, count: 0))
            return
        }
        var view = ctree_current(tree)
        withUnsafeTemporaryAllocation(of: ctree_row.self, capacity: keys.count) { rows in
            _ = ctree_get_many(&view, keys.baseAddress, keyByteCount, rows.baseAddress, keys.count)
            for index in keys.indices {
                let row = rows[index]
                values[index] = UnsafeRawBufferPointer(
                    start: row.key == nil ? nil : row.value, count: Int(row.value_length))
            }
        }
    }
}

extension MemoryStorage: StorageSnapshots {
    public func openSnapshot() throws -> any StorageSnapshot {
        MemorySnapshot(ctree_snapshot_open(try opened()), of: self)
    }
}

/// The state of all tables at one moment. It must not outlast the engine's `close`; afterwards it answers with an
/// error.
final class MemorySnapshot: StorageSnapshot {
    private var snapshot: OpaquePointer?
    private let storage: MemoryStorage
    private let opening: Int

    init(_ snapshot: OpaquePointer, of storage: MemoryStorage) {
        self.snapshot = snapshot
        self.storage = storage
        opening = storage.openings
    }

    private var isAlive: Bool { storage.isOpen && storage.openings == opening }

    func read(
        _ table: TableID, from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer
    ) throws -> StorageScan {
        guard let snapshot, isAlive else { throw ServerError(.snapshotUnavailable, "the storage snapshot is closed") }
        var view = ctree_snapshot_view(snapshot, table.rawValue)
        fill(rows, from: &view, bound, direction)
        return .done
    }

    func close() {
        if let snapshot, isAlive { ctree_snapshot_close(snapshot) }
        snapshot = nil
    }
}
