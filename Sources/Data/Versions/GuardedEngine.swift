import BSON
public import Core

/// An error that a storage engine has thrown. It stops the member: what the engine holds now is anybody's guess.
public struct StorageFailure: BrokenPromise, CustomStringConvertible {
    /// The type of the engine, for whoever has to mend it.
    public let engine: String
    public let cause: any Error
    public var description: String { "the storage engine \(engine) failed: \(cause)" }
}

/// The storage engine as the store calls it: whatever it throws becomes a `StorageFailure`, so that nobody above takes
/// it for an error of a client's request.
public final class GuardedEngine {
    public let raw: any StorageEngine
    /// The oplog: the engine's own, or one in its tables.
    let log: any StorageLog
    private let tableLog: TableLog?
    /// The engine, where it reads many keys at once.
    private let manyReading: (any StorageManyReading)?

    init(_ raw: any StorageEngine) {
        self.raw = raw
        manyReading = raw as? any StorageManyReading
        if let log = raw.log {
            self.log = log
            tableLog = nil
        } else {
            let table = TableLog(raw)
            log = table
            tableLog = table
        }
    }

    private func failure(_ cause: any Error) -> StorageFailure {
        StorageFailure(engine: "\(type(of: raw))", cause: cause)
    }

    @inline(__always)
    private func naming<Answer>(_ call: () throws -> Answer) throws(StorageFailure) -> Answer {
        do { return try call() } catch { throw failure(error) }
    }

    func open() async throws {
        // Whoever starts the member is told what is wrong with its directory: nothing was promised yet.
        try await raw.open()
        try await tableLog?.load(committed: .zero)
    }
    func close() async { await raw.close() }
    func flush(upTo mark: UInt64) async throws(StorageFailure) {
        do { try await raw.flush(upTo: mark) } catch { throw failure(error) }
    }
    /// Nothing happens with an engine that holds all in memory.
    func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws(StorageFailure) {
        guard let raw = raw as? any StoragePrefetching else { return }
        do { try await raw.prefetch(table, keys) } catch { throw failure(error) }
    }

    /// Nothing happens with an engine that holds all in memory.
    func keepResident(_ table: TableID) { (raw as? any StoragePrefetching)?.keepResident(table) }

    var appliedMark: UInt64 { raw.appliedMark }
    var durableMark: UInt64 { raw.durableMark }
    @inline(__always)
    var writeRefusal: ServerError? { raw.writeRefusal }
    public func statistics(_ table: TableID) -> StorageTableStatistics { raw.statistics(table) }

    @inline(__always)
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws(StorageFailure) -> StorageRead {
        try naming { try raw.get(table, key) }
    }

    func makeCursor(_ table: TableID) throws(StorageFailure) -> any StorageCursor {
        try naming { try raw.makeCursor(table) }
    }

    /// A scan with one of the engine's own cursors.
    @inline(__always)
    func read(
        _ cursor: any StorageCursor, from bound: StorageBound, direction: ScanDirection, into rows: RowBuffer
    ) throws(StorageFailure) -> StorageScan {
        try naming { try cursor.read(from: bound, direction: direction, into: rows) }
    }

    /// False when the engine does not read many at once.
    @inline(__always)
    func getMany(
        _ table: TableID, keys: UnsafeBufferPointer<UnsafeRawPointer?>, keyByteCount: Int,
        into values: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    ) throws(StorageFailure) -> Bool {
        guard let manyReading else { return false }
        try naming { try manyReading.getMany(table, keys: keys, keyByteCount: keyByteCount, into: values) }
        return true
    }

    /// Applies a batch, tables and log together.
    /// - Throws: `StorageNotResident` before anything has happened; `StorageFailure`.
    @inline(__always)
    func apply(_ batch: WriteBatch) throws {
        guard let tableLog, batch.changesLog else { return try naming { try raw.apply(batch) } }
        try tableLog.translate(batch)
        try naming { try raw.apply(batch) }
        try tableLog.didApply(batch)
    }
}
