internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// A range whose documents are to be deleted, because it is not owned any more: a document of
/// `config.shard.rangeDeletions`.
///
///     {_id: UUID, ns, uuid, min, max, notBefore: Date}
struct RangeToDelete: Hashable {
    static let namespace = Namespace("config", "shard.rangeDeletions")
    let id: MigrationID
    let name: Namespace
    let uuid: CollectionUUID
    let range: KeyRange
    /// Of the wall clock, in milliseconds.
    let notBefore: Int64

    init(
        _ id: MigrationID, _ name: Namespace, _ uuid: CollectionUUID, _ range: KeyRange, notBefore: Int64
    ) {
        self.id = id
        self.name = name
        self.uuid = uuid
        self.range = range
        self.notBefore = notBefore
    }

    var document: Document {
        Document { writer in
            writer.append("_id", id.uuid)
            writer.append("ns", string: name.fullName)
            writer.append("uuid", uuid)
            writer.append("min", .binary(subtype: 0, range.lower))
            writer.append("max", range.upper.map { .binary(subtype: 0, $0) } ?? .null)
            writer.append("notBefore", dateTime: notBefore)
        }
    }

    init(_ document: Document) throws(ServerError) {
        let uuid = document.withView { CollectionUUID($0["uuid"]) }
        guard let uuid, let name = document["ns"]?.asString.flatMap({ Namespace(fullName: $0) }),
            case .dateTime(let notBefore)? = document["notBefore"]
        else { throw ServerError(.failedToParse, "a document of \(RangeToDelete.namespace) is not whole") }
        self.init(
            try MigrationID(reading: document["_id"]), name, uuid, try KeyRange(reading: document),
            notBefore: notBefore)
    }
}

/// Deletes on the primary what the shard does not own any more, when its time has come.
final class RangeDeleter {
    private unowned let shard: ShardService
    private var isRunning = false
    private var isInterrupted = false
    private let woken: LoopSignal

    init(_ shard: ShardService) {
        self.shard = shard
        woken = LoopSignal(runtime: shard.node.runtime)
    }

    private var node: Node { shard.node }

    /// What is written to have a range deleted.
    func scheduling(_ range: RangeToDelete) -> DocumentChanges {
        var changes = DocumentChanges()
        changes.put(RangeToDelete.namespace, range.document)
        return changes
    }

    func pending() throws -> [RangeToDelete] {
        try node.data.documents(in: RangeToDelete.namespace).map { document throws(ServerError) in
            try RangeToDelete(document)
        }
    }

    /// Something may be due.
    func wake() {
        woken.fire()
        guard !isRunning, node.takesWrites else { return }
        isRunning = true
        isInterrupted = false
        node.runtime.spawn("range deletion") { [self] in
            defer { isRunning = false }
            while node.takesWrites, !node.isStopped, !isInterrupted {
                guard let ranges = try? await node.data.whenResident({ try pending() }), !ranges.isEmpty else { return }
                let now = node.runtime.wallClock.milliseconds
                var isAnyDue = false
                for range in ranges where range.notBefore <= now && !hasReaders(range) {
                    isAnyDue = true
                    do { try await finish(range) } catch {
                        node.runtime.log.log(.info, "sharding", "the deletion of \(range.id) goes on later: \(error)")
                        isAnyDue = false
                    }
                }
                if !isAnyDue { await woken.wait(until: node.runtime.now + Limits.rangeDeletionPause) }
            }
        }
    }

    func interrupt() {
        isInterrupted = true
        woken.fire()
    }

    /// Whether a cursor is open that began when the range was owned: it may still come to its documents.
    private func hasReaders(_ range: RangeToDelete) -> Bool {
        let time = shard.givenUpAt[range.id] ?? shard.officeSince
        return node.frontend.cursors.hasCursor(on: range.name.fullName, openedBefore: time)
            || shard.hasOperations(on: range.uuid, since: time)
    }

    private func finish(_ range: RangeToDelete) async throws {
        try await delete(range.range, of: range.uuid)
        var changes = DocumentChanges()
        changes.delete(RangeToDelete.namespace, range.id.uuid.value)
        try await node.commit(changes)
        shard.givenUpAt[range.id] = nil
    }

    /// Deletes what of overlapping ranges is still to be deleted, before its time: a range that comes back is to meet
    /// nothing of it.
    /// - Throws: `ExceededTimeLimit` while somebody may still read it.
    func finish(overlapping range: KeyRange, of uuid: CollectionUUID) async throws {
        for pending in try await node.data.whenResident({ try pending() })
        where pending.uuid == uuid && pending.range.overlaps(range) {
            let deadline = node.runtime.now + Limits.migrationPoll
            while hasReaders(pending), node.runtime.now < deadline { await node.sleep(Limits.migrationPause) }
            guard !hasReaders(pending) else {
                throw ServerError(
                    .exceededTimeLimit,
                    "documents of an earlier stay of the range of \(pending.name.fullName) are still being read")
            }
            try await finish(pending)
        }
    }

    /// Deletes the documents of a range that are neither owned nor on their way here, in slices.
    /// - Parameter discarded: a migration whose copies are to go.
    func delete(_ range: KeyRange, of uuid: CollectionUUID, discarding discarded: MigrationID? = nil) async throws {
        while true {
            let owned = try await node.data.whenResident { try shard.ownerships.collection(uuid) }
            guard let owned, let collection = node.data.catalog.find(uuid) else { return }
            let ids = try await some(of: range, owned, collection, discarded)
            guard !ids.isEmpty else { return }
            try await node.data.whenResident {
                // In the step that deletes: the range may have come back.
                let now = try shard.ownerships.collection(uuid)
                let incoming = shard.incoming(of: uuid, except: discarded)
                try node.data.deleteOrphans(ids, in: collection, try node.ownWriteContext()) { document in
                    guard let now, let position = try? now.space.position(of: document) else { return false }
                    return range.contains(position) && !now.table.owns(position)
                        && !incoming.contains { $0.contains(position) }
                }
            }
            try await node.endSlice()
            while node.data.isMajorityBehind, node.takesWrites { await node.sleep(Limits.migrationPause) }
        }
    }

    /// The `_id`s of some documents that may go.
    private func some(
        of range: KeyRange, _ owned: OwnedCollection, _ collection: Collection, _ discarded: MigrationID?
    ) async throws -> [Value] {
        let space = owned.space
        let incoming = shard.incoming(of: owned.collection.uuid, except: discarded)
        var ids: [Value] = []
        for part in RangeDeletion.mayDelete(range, ownership: owned.table, incoming: incoming) {
            let walk = RangeWalk(
                node.data, collection, index: space.supportingIndex.flatMap { collection.index(beginningWith: $0) },
                part
            ) { (try? space.position(of: $0)) ?? nil }
            try await node.inSlices { end -> Void? in
                let progress = try walk.run(until: end) { document, _ in
                    if let id = document["_id"] { ids.append(Value(id)) }
                    return ids.count < Limits.rangeDeletionDocuments
                }
                return progress == .done || ids.count >= Limits.rangeDeletionDocuments ? () : nil
            }
            if ids.count >= Limits.rangeDeletionDocuments { break }
        }
        return ids
    }
}
