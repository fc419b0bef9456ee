public import BSON
public import Core

/// An engine that claims at random not to have a key in memory, unless it was prefetched a while ago: what an engine
/// larger than memory does, as often as a test wants. Behind the claim is a real engine.
public final class NotResidentStorage: StoragePrefetching {
    private struct Place: Hashable {
        let table: TableID
        let key: [UInt8]
    }

    private let inner: any StorageEngine
    private var random: SplitMix64
    private let oneIn: Int
    private let keeps: Int
    private let isInspected: () -> Bool
    private let wait: () async -> Void
    private var kept: Set<TableID> = []
    /// What was prefetched last, by when; and the same in that order, from `oldest` on.
    private var resident: [Place: UInt64] = [:]
    private var order: [Place] = []
    private var oldest = 0
    private var prefetches: UInt64 = 0
    /// How often a read was refused.
    public private(set) var refusals = 0

    /// Wraps `inner`.
    /// - Parameters:
    ///   - inner: what keeps the data.
    ///   - seed: what is drawn from.
    ///   - oneIn: one read in so many finds nothing in memory; with 1, none does that was not prefetched.
    ///   - keeps: how many keys that were prefetched last stay; with fewer than a step needs at once, it never ends.
    ///   - isInspected: whether somebody looks who is no part of what is tested: then all is in memory.
    ///   - wait: how long a prefetch takes.
    public init(
        _ inner: any StorageEngine, seed: UInt64, oneIn: Int = 4, keeps: Int = Limits.prefetchedKeysMin,
        isInspected: @escaping () -> Bool = { false }, wait: @escaping () async -> Void = {}
    ) {
        self.keeps = keeps
        self.inner = inner
        self.oneIn = max(oneIn, 1)
        self.isInspected = isInspected
        self.wait = wait
        random = SplitMix64(seed: seed)
    }

    fileprivate func refuses(_ table: TableID, _ key: UnsafeRawBufferPointer) -> Bool {
        guard !kept.contains(table), random.below(oneIn) == 0, !isInspected(),
            resident[Place(table: table, key: [UInt8](key))] == nil
        else { return false }
        refusals += 1
        return true
    }

    public func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws {
        await wait()
        try await (inner as? any StoragePrefetching)?.prefetch(table, keys)
        for key in keys {
            let place = Place(table: table, key: key)
            prefetches += 1
            resident[place] = prefetches
            order.append(place)
        }
        while order.count - oldest > keeps {
            let place = order[oldest]
            oldest += 1
            // One that was prefetched again since stays for that.
            if let number = resident[place], number + UInt64(keeps) <= prefetches { resident[place] = nil }
        }
        if oldest > keeps {
            order.removeFirst(oldest)
            oldest = 0
        }
    }

    public func keepResident(_ table: TableID) {
        kept.insert(table)
        (inner as? any StoragePrefetching)?.keepResident(table)
    }

    public func open() async throws { try await inner.open() }
    public func close() async { await inner.close() }
    public var survivesRestart: Bool { inner.survivesRestart }
    public var directory: DataDirectory? { inner.directory }
    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
        refuses(table, key) ? .notResident : try inner.get(table, key)
    }
    public func makeCursor(_ table: TableID) throws -> any StorageCursor {
        NotResidentCursor(inner: try inner.makeCursor(table), table: table, storage: self)
    }
    public func apply(_ batch: WriteBatch) throws { try inner.apply(batch) }
    public var appliedMark: UInt64 { inner.appliedMark }
    public var durableMark: UInt64 { inner.durableMark }
    public func flush(upTo mark: UInt64) async throws { try await inner.flush(upTo: mark) }
    public var log: (any StorageLog)? { inner.log }
    public var writeRefusal: ServerError? { inner.writeRefusal }
    public var isBehind: Bool { inner.isBehind }
    public func checkpoint() async throws { try await inner.checkpoint() }
    public func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    public var statistics: Document {
        var document = inner.statistics
        document["notResident"] = .int64(Int64(refusals))
        return document
    }
}

/// Stops in the middle of a scan at random.
private final class NotResidentCursor: StorageCursor {
    private let inner: any StorageCursor
    private let table: TableID
    private let storage: NotResidentStorage

    init(inner: any StorageCursor, table: TableID, storage: NotResidentStorage) {
        self.inner = inner
        self.table = table
        self.storage = storage
    }

    func read(from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer) throws -> StorageScan {
        let key =
            switch bound {
            case .including(let key), .behind(let key): key
            case .start: UnsafeRawBufferPointer(start: nil, count: 0)
            }
        guard storage.refuses(table, key) else { return try inner.read(from: bound, direction: direction, into: rows) }
        let limit = rows.limit
        rows.limit = limit / 2
        defer { rows.limit = limit }
        let scan = rows.limit > 0 ? try inner.read(from: bound, direction: direction, into: rows) : .done
        if rows.limit == 0 { rows.removeAll() }
        // A table that ends before that has no next entry to be missed.
        if rows.limit > 0, rows.count > 0, rows.count < rows.limit { return scan }
        return .notResident
    }
}
