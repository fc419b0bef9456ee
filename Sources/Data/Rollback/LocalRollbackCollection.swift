import BSON
import Core

/// Keeps lost documents in `local.rollback`, which is never rolled back itself. Clients read and empty it:
/// `{_id, rollbackId, ns, ui, optime, common, wall, document}`.
///
/// It is capped at `Limits.rollbackArchiveBytesMax`: the documents of the oldest rollback go first, in the end the
/// first ones of the newest.
final class LocalRollbackCollection: RollbackArchive {
    static let namespace = Namespace("local", "rollback")
    private let store: DataStore
    /// Documents that had to make room in this rollback.
    private(set) var dropped = 0
    private let bytesMax: Int
    private var nextID: ObjectID?

    init(_ store: DataStore, bytesMax: Int = Limits.rollbackArchiveBytesMax) {
        self.store = store
        self.bytesMax = bytesMax
    }

    var place: String { "in \(Self.namespace)" }

    private var context: WriteContext { WriteContext(term: -1, wall: store.runtime.wallClock, isReplicated: false) }

    private func collection() throws -> Collection {
        if let existing = store.catalog.find(Self.namespace) { return existing }
        let options: Document = ["capped": true, "size": .int64(Int64(bytesMax))]
        return try options.withView { try store.createCollection(Self.namespace, $0, context) }
    }

    func discard(rollbackID: Int32) throws {
        guard let collection = store.catalog.find(Self.namespace) else { return }
        var keys: [RecordKey] = []
        try store.versions.forEachRow(collection.table) { key, value in
            guard try storedDocument(value)["rollbackId"]?.asInteger == Int64(rollbackID), let base = key.baseAddress
            else { return }
            keys.append(RecordKey(loadingFrom: base))
        }
        for key in keys {
            guard let document = try store.document(key, in: collection) else { continue }
            try store.step {
                try store.delete(
                    key, old: document, in: collection, $0, context, nil, StatementOutcome(kind: .delete, n: 1))
            }
        }
    }

    func keep(_ lost: LostDocument, in rollback: RollbackMark) throws {
        let collection = try collection()
        let wall = store.runtime.wallClock
        // The same until it is kept: where a new one would stand is not in memory each time.
        let id = nextID ?? store.newObjectID()
        nextID = id
        let kept = Document { writer in
            writer.append("_id" as String, .objectID(id))
            writer.append("rollbackId", int32: rollback.rollbackID)
            writer.append("ns", string: lost.namespace.fullName)
            writer.append("ui", lost.uuid)
            writer.append("optime", lost.optime)
            writer.append("common", rollback.common)
            writer.append("wall", dateTime: wall.milliseconds)
            writer.append("document", lost.document)
        }
        // Not as a client's insert: around a document of the largest size there has to be room for the rest.
        try kept.withView { view in
            try store.step {
                try store.insert(view, into: collection, $0, context, nil, StatementOutcome(kind: .insert, n: 1))
            }
        }
        nextID = nil
        let before = collection.count
        try store.trimWhatIsResident(collection, context)
        dropped += before - collection.count
    }

    func finish(_ rollback: RollbackMark) throws {
        guard dropped > 0 else { return }
        store.runtime.log.log(
            .warning, "replication",
            "local.rollback holds \(bytesMax) bytes at most: \(dropped) documents of earlier rollbacks or of this one "
                + "had to make room")
    }
}
