public import BSON
public import Core

/// An engine whose N-th call fails, and every call behind it. A test counts N up until its work succeeds: then every
/// place where storage can fail has been seen (SQLite's method).
public final class FailingStorage: StorageEngine {
    /// The error that the call throws which is to fail.
    public struct Failure: Error {}

    private let inner: any StorageEngine
    private var callsLeft: Int
    /// Whether a call has failed.
    public private(set) var hasFailed = false

    /// Wraps `inner`, of whose calls the one of that number fails.
    public init(_ inner: any StorageEngine, failingAt call: Int) {
        self.inner = inner
        callsLeft = call
    }

    fileprivate func count() throws {
        callsLeft -= 1
        guard callsLeft > 0 else {
            hasFailed = true
            throw Failure()
        }
    }

    public func open() async throws {
        try count()
        try await inner.open()
    }
    public func close() async { await inner.close() }
    public var survivesRestart: Bool { inner.survivesRestart }
    public var directory: DataDirectory? { inner.directory }
    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
        try count()
        return try inner.get(table, key)
    }
    public func makeCursor(_ table: TableID) throws -> any StorageCursor {
        FailingCursor(inner: try inner.makeCursor(table), storage: self)
    }
    public func apply(_ batch: WriteBatch) throws {
        try count()
        try inner.apply(batch)
    }
    public var appliedMark: UInt64 { inner.appliedMark }
    public var durableMark: UInt64 { inner.durableMark }
    public func flush(upTo mark: UInt64) async throws {
        try count()
        try await inner.flush(upTo: mark)
    }
    public var log: (any StorageLog)? { inner.log }
    public var writeRefusal: ServerError? { inner.writeRefusal }
    public var isBehind: Bool { inner.isBehind }
    public func checkpoint() async throws {
        try count()
        try await inner.checkpoint()
    }
    public func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    public var statistics: Document { inner.statistics }
}

private final class FailingCursor: StorageCursor {
    private let inner: any StorageCursor
    private let storage: FailingStorage

    init(inner: any StorageCursor, storage: FailingStorage) {
        self.inner = inner
        self.storage = storage
    }

    func read(from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer) throws -> StorageScan {
        try storage.count()
        return try inner.read(from: bound, direction: direction, into: rows)
    }
}
