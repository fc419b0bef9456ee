public import BSON
public import Core

/// What the server itself keeps in the `local` database, and what others ask about the whole store.
extension DataStore {
    /// The only document of a collection of the server's own, or its first; nil when there is none.
    public func getLocal(_ namespace: Namespace) throws -> Document? {
        guard let collection = catalog.find(namespace) else { return nil }
        var found: Document?
        _ = try readRecords(of: collection, after: 0, limit: 1, bytesMax: .max) { found = $0.document }
        return found
    }

    /// Stores a document in a collection of the server's own, in the place of the one with its `_id`.
    public func putLocal(_ namespace: Namespace, _ document: Document) throws {
        let context = WriteContext(term: -1, wall: runtime.wallClock, isReplicated: false)
        let collection = try ensureCollection(namespace, context)
        try document.withView { view in
            guard let id = view["_id"] else {
                throw ServerError(.badValue, "a document of \(namespace) needs an _id")
            }
            if let (record, old) = try record(withID: id, in: collection) {
                let growth = view.byteCount - old.byteCount
                try versions.step(at: nil) {
                    try record.withBytes { try versions.put(collection.table, .local, key: $0, value: view.bytes) }
                }
                collection.dataBytes += growth
            } else {
                try insertOne(view, into: collection, context)
            }
        }
    }

    /// Whether anything but the server's own is stored here.
    public var hasUserData: Bool { catalog.collections.contains { !$0.namespace.isLocal } }

    /// The wall clock of the last entry of the oplog; 1970 when there is none.
    public var lastEntryWall: WallTime {
        guard let last = oplog.last else { return WallTime(milliseconds: 0) }
        var wall: Int64 = 0
        try? oplog.read(from: last.timestamp, inclusive: true, direction: .backward, limitEntries: 1, limitBytes: .max) { entry in
            if let base = entry.baseAddress { wall = DocumentView(base: base)["wall"]?.asDateTime ?? 0 }
            return false
        }
        return WallTime(milliseconds: wall)
    }

    /// Everything up to `optime` is committed by a majority: undo, kept versions and dropped data below it are given back.
    public func onCommitPoint(_ optime: OpTime) throws {
        versions.setCommitPoint(optime)
        oplog.setCommitPoint(optime.timestamp)
        try catalog.onCommitPoint(optime)
    }
}
