import BSON
import Core
import Data
import MemoryStorage

/// An engine with a place for rollback files.
final class FilingStorage: RollbackFileKeeping {
    final class Files: RollbackArchive {
        var kept: [Document] = []
        var isFinished = false
        func discard(rollbackID: Int32) throws { kept.removeAll() }
        func keep(_ lost: LostDocument, in rollback: RollbackMark) throws { kept.append(lost.document.document) }
        func finish(_ rollback: RollbackMark) throws { isFinished = true }
    }

    let files = Files()
    private let inner = MemoryStorage()

    func makeRollbackArchive() -> any RollbackArchive { files }
    func open() async throws { try await inner.open() }
    func close() async { await inner.close() }
    var survivesRestart: Bool { inner.survivesRestart }
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try inner.get(table, key) }
    func makeCursor(_ table: TableID) throws -> any StorageCursor { try inner.makeCursor(table) }
    func apply(_ batch: WriteBatch) throws { try inner.apply(batch) }
    var appliedMark: UInt64 { inner.appliedMark }
    var durableMark: UInt64 { inner.durableMark }
    func flush(upTo mark: UInt64) async throws { try await inner.flush(upTo: mark) }
    func checkpoint() async throws { try await inner.checkpoint() }
    func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    var statistics: Document { inner.statistics }
}
