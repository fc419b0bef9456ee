import BSON
import Core
import MemoryStorage

/// A simulated disk that keeps everything: what a member's lives have in common. Faults of disks come with storage in
/// files.
final class RememberingStorage {
    private let memory = MemoryStorage()
    private var isOpen = false

    /// The engine of one life.
    func engine() -> any StorageEngine { Life(self) }

    private final class Life: StorageEngine {
        private let disk: RememberingStorage
        private var memory: MemoryStorage { disk.memory }

        init(_ disk: RememberingStorage) { self.disk = disk }

        func open() async throws {
            guard !disk.isOpen else { return }
            disk.isOpen = true
            try await memory.open()
        }
        func close() async {}
        var survivesRestart: Bool { true }
        func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try memory.get(table, key) }
        func makeCursor(_ table: TableID) throws -> any StorageCursor { try memory.makeCursor(table) }
        func apply(_ batch: WriteBatch) throws { try memory.apply(batch) }
        var appliedMark: UInt64 { memory.appliedMark }
        var durableMark: UInt64 { memory.durableMark }
        func flush(upTo mark: UInt64) async throws {}
        func checkpoint() async throws {}
        func statistics(_ table: TableID) -> StorageTableStatistics { memory.statistics(table) }
        var statistics: Document { memory.statistics }
    }
}
