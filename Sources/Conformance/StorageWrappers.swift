public import BSON
public import Core

/// An engine that claims at random not to have a key in memory until it was prefetched: what an engine larger than
/// memory does, as often as a test wants. Behind the claim is a real engine.
public final class NotResidentStorage: StoragePrefetching {
    private let inner: any StorageEngine
    private var random: SplitMix64
    private let oneIn: Int
    /// After a prefetch, this many reads are answered: otherwise an unlucky caller would never get on.
    private var resident = 0
    /// How often a read was refused.
    public private(set) var refusals = 0

    /// Wraps `inner`; one read in so many finds nothing in memory, as the seed draws.
    public init(_ inner: any StorageEngine, seed: UInt64, oneIn: Int = 4) {
        self.inner = inner
        self.oneIn = oneIn
        random = SplitMix64(seed: seed)
    }

    fileprivate func refuses() -> Bool {
        if resident > 0 {
            resident -= 1
            return false
        }
        guard random.below(oneIn) == 0 else { return false }
        refusals += 1
        return true
    }

    public func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws { resident = 1 }

    public func open() async throws { try await inner.open() }
    public func close() async { await inner.close() }
    public var survivesRestart: Bool { inner.survivesRestart }
    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
        refuses() ? .notResident : try inner.get(table, key)
    }
    public func makeCursor(_ table: TableID) throws -> any StorageCursor {
        NotResidentCursor(inner: try inner.makeCursor(table), storage: self)
    }
    public func apply(_ batch: WriteBatch) throws { try inner.apply(batch) }
    public var appliedMark: UInt64 { inner.appliedMark }
    public var durableMark: UInt64 { inner.durableMark }
    public func flush(upTo mark: UInt64) async throws { try await inner.flush(upTo: mark) }
    public var log: (any StorageLog)? { inner.log }
    public var writeRefusal: ServerError? { inner.writeRefusal }
    public var isBehind: Bool { inner.isBehind }
    public var wasUnclean: Bool { inner.wasUnclean }
    public func checkpoint() async throws { try await inner.checkpoint() }
    public func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    public var statistics: Document { inner.statistics }
}

/// Stops in the middle of a scan at random.
private final class NotResidentCursor: StorageCursor {
    private let inner: any StorageCursor
    private let storage: NotResidentStorage

    init(inner: any StorageCursor, storage: NotResidentStorage) {
        self.inner = inner
        self.storage = storage
    }

    func read(from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer) throws -> StorageScan {
        guard storage.refuses() else { return try inner.read(from: bound, direction: direction, into: rows) }
        let limit = rows.limit
        rows.limit = limit / 2
        defer { rows.limit = limit }
        rows.removeAll()
        if rows.limit > 0 { _ = try inner.read(from: bound, direction: direction, into: rows) }
        return .notResident
    }
}

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
    public var wasUnclean: Bool { inner.wasUnclean }
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
