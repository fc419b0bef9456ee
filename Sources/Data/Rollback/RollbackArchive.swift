public import BSON
public import Core

/// A document that a rollback takes back, as it was before.
public struct LostDocument {
    public let namespace: Namespace
    public let uuid: CollectionUUID
    /// The last of the writes that are taken back and made the document what it is.
    public let optime: OpTime
    /// Valid for the call that hands it over.
    public let document: DocumentView
}

/// Where a rollback keeps the documents that it takes back. Not a plug point: an engine that keeps files gets files
/// beside its own (`RollbackFiles`), any other `local.rollback`.
protocol RollbackArchive: AnyObject {
    /// Where the documents are found, for people.
    var place: String { get }
    /// Whether what is handed over gets to the disk by `write`, and so has to wait for it.
    var isOnDisk: Bool { get }
    /// Whether enough was handed over for `write` to come first.
    var isFull: Bool { get }
    /// Forgets what an interrupted rollback of this id has kept: it begins again.
    func discard(rollbackID: Int32) throws
    /// Keeps one document. Those of one collection come one after the other.
    func keep(_ lost: LostDocument, in rollback: RollbackMark) throws
    /// Writes what was handed over. Called again when it has failed.
    /// - Parameter isLast: all are handed over, and must have survived a power cut when this returns.
    func write(isLast: Bool) async throws
    /// All are kept.
    func finish(_ rollback: RollbackMark) throws
}

extension RollbackArchive {
    var isOnDisk: Bool { false }
    var isFull: Bool { false }
    func write(isLast: Bool) async throws {}
}

/// Keeps nothing: `createRollbackDataFiles` is off.
final class NoRollbackArchive: RollbackArchive {
    var place: String { "nowhere, because createRollbackDataFiles is off" }
    func discard(rollbackID: Int32) throws {}
    func keep(_ lost: LostDocument, in rollback: RollbackMark) throws {}
    func finish(_ rollback: RollbackMark) throws {}
}
