public import BSON

/// Names one table of a storage engine. 0 is never used.
@frozen public struct TableID: Hashable, Comparable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static func < (a: TableID, b: TableID) -> Bool { a.rawValue < b.rawValue }
}

/// **Plug point.** An ordered byte-key store: tables of key → value, atomic batches, a durability mark.
///
/// Purpose: everything a member keeps is kept in one engine. Versions, transactions, rollback and the oplog's meaning
/// live above it, so that a new engine is small and gets every feature.
///
/// Contract:
/// - Keys are ordered as unsigned bytes (`memcmp`, a prefix first). Keys are at most `Limits.storageKeyBytesMax` long
///   and not empty, values at most `Limits.storageValueBytesMax`. A table exists from its first put; an unknown table
///   reads as empty.
/// - `apply` is atomic and at once visible to reads through this object. Operations of a batch take effect in order.
///   A batch also carries the oplog entries that describe it. An engine of tables only need not look at them: they are
///   among its operations, as rows of `TableID.oplog`. One with a `log` of its own changes it with the tables.
/// - Pointers that reads return are valid until the next `apply` or suspension, whichever is first.
/// - All calls come from one loop. An engine may use helper threads inside.
/// - `apply` numbers its batches 1, 2, 3 … (`appliedMark`); everything up to `durableMark` survives a power cut. A
///   volatile engine has `survivesRestart == false` and its durable mark equals its applied mark.
/// - Errors that are thrown stop the member; an engine never retries a failed sync.
///
/// How to implement: `Plugins/MemoryStorage` is the smallest. Conformance suite: `StorageConformance`.
public protocol StorageEngine: AnyObject {
    /// Opens or creates the store. Called once, before anything else.
    func open() async throws
    /// Flushes and closes.
    func close() async

    /// Whether data is still there after `close` and `open` of the same place.
    var survivesRestart: Bool { get }
    /// Where the engine keeps its files, and the node may keep others; nil for an engine without any.
    var directory: DataDirectory? { get }

    /// The value of `key`, or absent.
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead
    /// A cursor over `table`; not positioned.
    func makeCursor(_ table: TableID) throws -> any StorageCursor
    /// Applies all operations of `batch`, or none.
    func apply(_ batch: WriteBatch) throws

    /// The number of the last applied batch.
    var appliedMark: UInt64 { get }
    /// The number of the last batch that is safe on disk.
    var durableMark: UInt64 { get }
    /// Makes everything up to `mark` durable; returns when it is. Calls that wait together share one sync.
    func flush(upTo mark: UInt64) async throws

    /// The log of an engine that keeps the oplog itself, the same object from `init` on; nil for an engine of tables.
    var log: (any StorageLog)? { get }

    /// Writes a checkpoint in the background where the engine has such a thing.
    func checkpoint() async throws

    /// Why no writes of clients are taken for now, such as a full disk; nil when they are. What a member must write to
    /// stay one (votes, no-ops) is still taken.
    var writeRefusal: ServerError? { get }
    /// Whether so much waits for the disk that writers should wait for a flush.
    var isBehind: Bool { get }

    /// Entry count and bytes of keys and values of a table. Exact when what was applied is durable, and at most too
    /// large before; approximate is allowed after a crash.
    func statistics(_ table: TableID) -> StorageTableStatistics
    /// For `serverStatus`: memory, files, work done. Flat field names of the engine's own.
    var statistics: Document { get }
}

extension StorageEngine {
    public var directory: DataDirectory? { nil }
    public var log: (any StorageLog)? { nil }
    public var writeRefusal: ServerError? { nil }
    public var isBehind: Bool { false }
}

/// What a point read found.
@frozen public enum StorageRead {
    case found(UnsafeRawBufferPointer)
    case absent
    /// Not in memory: the operation waits for `prefetch` of the key and starts again (`StoragePrefetching`).
    case notResident
}

/// An optional power of engines larger than memory.
///
/// A step that met `.notResident` is undone, has its key prefetched and is run again from its beginning, and may then
/// meet another one. So what was prefetched stays in memory while the step comes back for it: at least the last
/// `Limits.prefetchedKeysMin` keys.
public protocol StoragePrefetching: StorageEngine {
    /// Brings the pages of `keys` into memory, on a helper thread, with what a scan from each of them meets first. An
    /// empty key stands for both ends of the table.
    func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws
    /// Keeps in memory, until the engine is closed, all that is read, prefetched or written of a table from now on: it
    /// is small, and the node may have to read it when it cannot wait.
    func keepResident(_ table: TableID)
}

/// An optional power: many point reads in one call, for scans of an index that fetch what it leads to.
public protocol StorageManyReading: StorageEngine {
    /// Puts the values of `keys`, which are all `keyByteCount` bytes long, into the places of `values`, which is as
    /// long: an absent one gets no base address.
    func getMany(
        _ table: TableID, keys: UnsafeBufferPointer<UnsafeRawPointer?>, keyByteCount: Int,
        into values: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>) throws
}

/// An optional power: a state of all tables that stays readable while writes go on, for checkpoints. Snapshots are
/// opened and closed on the loop and may be read on a helper thread in between.
public protocol StorageSnapshots: StorageEngine {
    func openSnapshot() throws -> any StorageSnapshot
}

/// All tables as they were at one moment.
public protocol StorageSnapshot: AnyObject {
    /// As `StorageCursor.read`; the rows' pointers are valid until the snapshot is closed.
    func read(
        _ table: TableID, from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer
    ) throws -> StorageScan
    func close()
}

/// An ordered walk over one table. Holds a key, not a position: writes between calls are seen.
public protocol StorageCursor: AnyObject {
    /// Empties `rows` and fills it with up to `rows.limit` entries from `bound` on in `direction`; with `.done`, fewer
    /// than the limit means the end. `bound` may point into `rows`. The rows' pointers are valid until the next `apply`
    /// or suspension.
    func read(from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer) throws -> StorageScan
}

/// Where a walk starts.
@frozen public enum StorageBound {
    /// The first key in the direction of the walk.
    case start
    /// The given key if it is there, else the next in the direction of the walk.
    case including(UnsafeRawBufferPointer)
    /// The next key behind the given one in the direction of the walk.
    case behind(UnsafeRawBufferPointer)
}

@frozen public enum ScanDirection: Sendable { case forward, backward }

@frozen public enum StorageScan {
    /// The buffer is full, or the table ended.
    case done
    /// The next entry is not in memory; what was read so far is in the buffer. When that is nothing, the key of the
    /// scan's bound is to be prefetched.
    case notResident
}

/// Rows of a scan, in place: filled by an engine, read by the caller. Reused between scans.
public final class RowBuffer {
    @frozen public struct Row {
        public let key: UnsafeRawBufferPointer
        public let value: UnsafeRawBufferPointer
        @inlinable public init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
            self.key = key
            self.value = value
        }
    }

    /// How many rows one fill brings at most.
    public var limit: Int
    public private(set) var rows: [Row] = []

    public init(limit: Int) {
        self.limit = limit
        rows.reserveCapacity(limit)
    }
    @inlinable public var count: Int { rows.count }
    @inlinable public var isFull: Bool { rows.count >= limit }
    public func removeAll() { rows.removeAll(keepingCapacity: true) }
    public func append(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        rows.append(Row(key: key, value: value))
    }
}

/// Size of one table.
public struct StorageTableStatistics: Sendable, Equatable {
    public var entries: Int
    public var bytes: Int
    public init(entries: Int, bytes: Int) {
        self.entries = entries
        self.bytes = bytes
    }
}
