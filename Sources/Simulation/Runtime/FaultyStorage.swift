import BSON
import Core

/// What a simulated storage engine is told to do wrong.
final class StorageFaults {
    /// The next batch, or the next flush, is refused with an error.
    var throwsNext = false
    fileprivate(set) var hasThrown = false
}

/// An engine that breaks when it is told to: before a batch has had any effect, so that what its disk keeps stays
/// whole, or instead of a flush.
final class FaultyStorage: StorageManyReading, StoragePrefetching {
    struct Broken: Error, CustomStringConvertible {
        var description: String { "the simulator broke it" }
    }

    private let engine: any StorageEngine
    private let faults: StorageFaults

    init(_ engine: any StorageEngine, _ faults: StorageFaults) {
        self.engine = engine
        self.faults = faults
    }

    private func breakIfTold() throws {
        guard faults.throwsNext || faults.hasThrown else { return }
        faults.hasThrown = true
        faults.throwsNext = false
        throw Broken()
    }

    func apply(_ batch: WriteBatch) throws {
        try breakIfTold()
        try engine.apply(batch)
    }

    func getMany(
        _ table: TableID, keys: UnsafeBufferPointer<UnsafeRawPointer?>, keyByteCount: Int,
        into values: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    ) throws {
        if let engine = engine as? any StorageManyReading {
            return try engine.getMany(table, keys: keys, keyByteCount: keyByteCount, into: values)
        }
        for (place, key) in keys.enumerated() {
            let found = try engine.get(table, UnsafeRawBufferPointer(start: key, count: keyByteCount))
            values[place] =
                if case .found(let value) = found { value } else { UnsafeRawBufferPointer(start: nil, count: 0) }
        }
    }

    func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws {
        try await (engine as? any StoragePrefetching)?.prefetch(table, keys)
    }
    func keepResident(_ table: TableID) { (engine as? any StoragePrefetching)?.keepResident(table) }
    func open() async throws { try await engine.open() }
    func close() async { await engine.close() }
    var survivesRestart: Bool { engine.survivesRestart }
    var directory: DataDirectory? { engine.directory }
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try engine.get(table, key) }
    func makeCursor(_ table: TableID) throws -> any StorageCursor { try engine.makeCursor(table) }
    var appliedMark: UInt64 { engine.appliedMark }
    var durableMark: UInt64 { engine.durableMark }
    func flush(upTo mark: UInt64) async throws {
        try breakIfTold()
        try await engine.flush(upTo: mark)
    }
    var log: (any StorageLog)? { engine.log }
    var writeRefusal: ServerError? { engine.writeRefusal }
    var isBehind: Bool { engine.isBehind }
    func checkpoint() async throws { try await engine.checkpoint() }
    func statistics(_ table: TableID) -> StorageTableStatistics { engine.statistics(table) }
    var statistics: Document { engine.statistics }
}
