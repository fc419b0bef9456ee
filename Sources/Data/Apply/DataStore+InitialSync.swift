public import BSON
public import Core
import Query

extension DataStore {
    /// Drops everything that is replicated, in memory and on disk, and forgets the oplog: the start of an initial sync.
    /// The `local` database stays. The version store keeps no history until `finishInitialSync`. A member that stops
    /// before that has to begin anew when it is started again (`hasUnfinishedInitialSync`).
    public func startInitialSync() throws {
        durability.entriesTakenBack(behind: .null)
        try versions.step(at: nil) { step in
            let one: [UInt8] = [1]
            try one.withUnsafeBytes {
                try step.put(DataTables.initialSync, .local, key: $0, value: $0)
            }
        }
        try versions.setKeepsHistory(false, since: .null)
        for collection in catalog.collections where collection.kind == .replicated {
            try step { try drop(collection, $0) }
        }
        try catalog.forgetPendingDrops()
        try versions.step(at: nil) { step in
            step.dropTable(DataTables.sessions)
            step.dropTable(DataTables.initialSyncBuffer)
            oplog.removeAll(step)
        }
        try RollbackMark.clear(versions)
        sessions.reload()
        indexBuilds.removeAll()
    }

    /// Whether an earlier run has stopped in the middle of an initial sync: what is here is nobody's state.
    public func hasUnfinishedInitialSync() throws -> Bool {
        var isMarked = false
        try versions.forEachRow(DataTables.initialSync) { _, _ in isMarked = true }
        return isMarked
    }

    /// Creates a collection as the sync source has it, with the source's identity. Its indexes are built at the end.
    public func cloneCollection(
        _ namespace: Namespace, uuid: CollectionUUID, options: DocumentView, indexes: [DocumentView]
    ) throws -> Collection {
        if let existing = catalog.find(uuid) { return existing }
        return try step { step in
            if let other = catalog.find(namespace) { try drop(other, step) }
            let collection = try create(
                namespace, uuid, try CollectionOptions(parsing: options), .replicated, step)
            for definition in indexes {
                let spec = try CollectionIndex.spec(definition)
                if spec.isIdIndex { continue }
                // The source lists a build in progress as `{spec, buildUUID}` does in `listIndexes`.
                try addIndex(spec, .deferred, buildID: CollectionUUID(definition["buildUUID"]), to: collection, step)
            }
            return collection
        }
    }

    /// Stores a cloned document: inserted, or put in the place of the one with its `_id`. Not logged.
    public func cloneDocument(_ document: DocumentView, into collection: Collection) throws {
        guard let id = document.first, id.key == "_id" else {
            throw ServerError(.badValue, "a cloned document does not start with its _id")
        }
        try step { step in
            if let (record, old) = try record(withID: id.value, in: collection) {
                let changes = try prepareUpdate(record, old: old, new: document, collection, step, isApplying: true)
                return try putUpdate(record, old: old, new: document, collection, changes, step)
            }
            let record = RecordKey(collection.nextRecordID)
            let changes = try prepareInsert(document, record, collection, step, isApplying: true)
            try putInsert(document, record, collection, changes, step)
        }
    }

    /// The next collection whose indexes are to be built from the final data; nil when all are. Step it for
    /// `.committing`, then `finishDeferredBuild`.
    public func nextDeferredBuild() throws -> IndexBuild? {
        for collection in catalog.collections {
            let deferred = collection.indexes.filter { $0.state == .deferred && $0.buildID == nil }
            guard !deferred.isEmpty else { continue }
            let build = IndexBuild(store: self, collection: collection, indexes: deferred, buildID: nil)
            build.mustRestart = true
            return build
        }
        return nil
    }

    public func finishDeferredBuild(_ build: IndexBuild) throws {
        try invariant(build.isScanned, "a deferred index build is finished before its scan is through")
        for index in build.indexes { index.state = .ready }
        try versions.step(at: nil) { try catalog.put(build.collection, $0) }
        build.collection.generation += 1
    }

    /// Ends an initial sync at `optime`: history is kept from here on, and builds that the source had begun go on here.
    public func finishInitialSync(at optime: OpTime) throws {
        for collection in catalog.collections {
            let begun = collection.indexes.filter { $0.state == .deferred }
            guard !begun.isEmpty else { continue }
            for index in begun {
                try invariant(index.buildID != nil, "an initial sync ends before the index \(index.name) is built")
                index.state = .building
            }
            try versions.step(at: nil) { try catalog.put(collection, $0) }
        }
        try versions.setKeepsHistory(true, since: optime)
        try versions.step(at: nil) { $0.dropTable(DataTables.initialSync) }
        try load()
    }
}
