public import BSON
public import Core

/// Whether a table's writes have versions and can be undone by rollback.
public enum TableKind: Sendable {
    /// Versioned and undone by rollback: data, indexes, catalogue, session records.
    case replicated
    /// Never versioned, never undone: vote, term, config, rollback id, undo itself.
    case local
}

/// The state that a read sees.
public enum ReadPoint: Sendable {
    case latest
    case at(Timestamp)
}

/// Names an open snapshot of a `VersionStore`.
public struct SnapshotToken: Hashable, Sendable {
    let id: UInt64
    public let timestamp: Timestamp
}

extension TableID {
    /// The local table of undo records.
    public static let undo = TableID(rawValue: 1)
}

/// A key that a write needs to see is not in memory: abort the step, prefetch it, start the operation again.
public struct StorageNotResident: Error {
    public let table: TableID
    public let key: [UInt8]
}

/// Versions above a storage engine.
public final class VersionStore {
    public let engine: any StorageEngine
    public let keepsHistory: Bool
    public private(set) var oldestReadable = Timestamp.zero
    public private(set) var isStepOpen = false
    private let batch = WriteBatch()
    private var cursors: [TableID: any StorageCursor] = [:]
    private var nextSnapshot: UInt64 = 1

    public init(engine: any StorageEngine, keepsHistory: Bool) {
        self.engine = engine
        self.keepsHistory = keepsHistory
    }

    public func open() async throws { try await engine.open() }
    public func close() async { await engine.close() }

    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer, at point: ReadPoint) throws -> StorageRead {
        try engine.get(table, key)
    }

    public func read(
        _ table: TableID, from bound: StorageBound, direction: ScanDirection, at point: ReadPoint, into rows: RowBuffer
    ) throws -> StorageScan {
        if let cursor = cursors[table] { return try cursor.read(from: bound, direction: direction, into: rows) }
        let cursor = try engine.makeCursor(table)
        cursors[table] = cursor
        return try cursor.read(from: bound, direction: direction, into: rows)
    }

    public func begin() { isStepOpen = true }
    public func put(
        _ table: TableID, _ kind: TableKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) throws {
        batch.put(table, key: key, value: value)
    }
    public func delete(_ table: TableID, _ kind: TableKind, key: UnsafeRawBufferPointer) throws {
        batch.delete(table, key: key)
    }
    public func dropTable(_ table: TableID, _ kind: TableKind) {
        batch.dropTable(table)
        cursors[table] = nil
    }
    public func commit(at optime: OpTime?) throws {
        isStepOpen = false
        defer { batch.removeAll() }
        try engine.apply(batch)
    }
    public func abort() {
        isStepOpen = false
        batch.removeAll()
    }

    public func setCommitPoint(_ optime: OpTime) {}
    public func openSnapshot(at timestamp: Timestamp) throws -> SnapshotToken {
        nextSnapshot += 1
        return SnapshotToken(id: nextSnapshot, timestamp: timestamp)
    }
    public func closeSnapshot(_ token: SnapshotToken) {}
    public func undo(after optime: OpTime, limit: Int) throws -> Bool { true }
    public var undoBytes: Int { 0 }
    public var historyBytes: Int { 0 }
    public func flush() async throws { try await engine.flush(upTo: engine.appliedMark) }
    public var appliedMark: UInt64 { engine.appliedMark }
    public var durableMark: UInt64 { engine.durableMark }
}
