import BSON
import Core
import MemoryStorage

/// A simulated disk that keeps everything: what a member's runs have in common. A flush takes its time; what was
/// written and not flushed is still there when a process has crashed. Faults of disks come with storage in files.
final class RememberingStorage {
    private let memory = MemoryStorage()
    private var isOpen = false
    private let keepsLog: Bool

    /// - Parameter keepsLog: whether the engine keeps the oplog itself, or has tables only.
    init(keepsLog: Bool) { self.keepsLog = keepsLog }

    /// The engine of one run.
    /// - Parameter flushTime: how long a flush takes at most; zero for a disk that is durable at once.
    func engine(_ runtime: SimulatedRuntime, flushTime: Duration) -> any StorageEngine {
        Life(self, runtime, flushTime)
    }

    private final class Life: StorageEngine {
        private let disk: RememberingStorage
        private unowned let runtime: SimulatedRuntime
        private let flushTime: Duration
        private var flushedMark: UInt64 = 0
        private var memory: MemoryStorage { disk.memory }

        init(_ disk: RememberingStorage, _ runtime: SimulatedRuntime, _ flushTime: Duration) {
            self.disk = disk
            self.runtime = runtime
            self.flushTime = flushTime
        }

        func open() async throws {
            if !disk.isOpen {
                disk.isOpen = true
                try await memory.open()
            }
            flushedMark = memory.appliedMark
        }
        func close() async {}
        var survivesRestart: Bool { true }
        func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try memory.get(table, key) }
        func makeCursor(_ table: TableID) throws -> any StorageCursor { try memory.makeCursor(table) }
        func apply(_ batch: WriteBatch) throws { try memory.apply(batch) }
        var appliedMark: UInt64 { memory.appliedMark }
        var durableMark: UInt64 { flushTime > .zero ? flushedMark : memory.durableMark }
        func flush(upTo mark: UInt64) async throws {
            guard mark > durableMark else { return }
            let time = runtime.random(below: UInt64(flushTime.nanoseconds))
            await runtime.sleep(for: .nanoseconds(Int64(time)))
            flushedMark = max(flushedMark, mark)
        }
        var log: (any StorageLog)? { disk.keepsLog ? memory.log : nil }
        func checkpoint() async throws {}
        func statistics(_ table: TableID) -> StorageTableStatistics { memory.statistics(table) }
        var statistics: Document { memory.statistics }
    }
}
