import BSON
import Core
import Query

extension DataStore {
    /// Writes the start entry of a build and registers it: hidden indexes that `IndexBuild.step` fills.
    func startIndexBuild(_ specs: [IndexSpec], _ collection: Collection, _ context: WriteContext) throws -> IndexBuild {
        let buildID = CollectionUUID(runtime)
        let optime = try nextOpTime(context)
        let entry = commandEntry(collection.namespace.database, collection.uuid, optime, context, collection.kind) {
            o in
            o.append("startIndexBuild", string: collection.namespace.collection)
            describe(buildID, specs.map { $0.definition }, to: o)
        }
        return try startIndexBuild(buildID, specs, collection, at: optime, entry: entry)
    }

    private func describe(_ buildID: CollectionUUID, _ definitions: [Document], to o: DocumentWriter) {
        o.append("indexBuildUUID", buildID)
        o.array("indexes") { array in for definition in definitions { array.append(definition) } }
    }

    func startIndexBuild(
        _ buildID: CollectionUUID, _ specs: [IndexSpec], _ collection: Collection, at optime: OpTime,
        entry: UnsafeRawBufferPointer?
    ) throws -> IndexBuild {
        let before = collection.indexes
        var added: [CollectionIndex] = []
        for spec in specs {
            added.append(
                CollectionIndex(
                    spec, table: try catalog.newTable(), state: .building, visibleFrom: optime.timestamp,
                    buildID: buildID))
        }
        collection.indexes += added
        do {
            try catalogStep(at: optime, entry: entry) {
                for index in added { emptyTable(index.table) }
                try catalog.put(collection)
            }
        } catch {
            collection.indexes = before
            throw error
        }
        collection.generation += 1
        let build = IndexBuild(store: self, collection: collection, indexes: added, buildID: buildID)
        indexBuilds.append(build)
        return build
    }

    /// Commits a build whose scan is through: its indexes become visible, here and, by the entry, on all members.
    public func commitIndexBuild(_ build: IndexBuild, _ context: WriteContext) throws {
        try invariant(build.isScanned, "an index build is committed before its scan is through")
        guard indexBuilds.contains(where: { $0 === build }) else {
            throw ServerError(.indexBuildAborted, "the index build was aborted")
        }
        let collection = build.collection
        let optime = try nextOpTime(context)
        let entry = commandEntry(collection.namespace.database, collection.uuid, optime, context, collection.kind) {
            o in
            o.append("commitIndexBuild", string: collection.namespace.collection)
            if let buildID = build.buildID { describe(buildID, build.indexes.map { $0.definition }, to: o) }
        }
        try commit(build, at: optime, entry: entry)
    }

    func commit(_ build: IndexBuild, at optime: OpTime, entry: UnsafeRawBufferPointer?) throws {
        for index in build.indexes {
            index.state = .ready
            index.visibleFrom = optime.timestamp
        }
        do {
            try catalogStep(at: optime, entry: entry) { try catalog.put(build.collection) }
        } catch {
            for index in build.indexes { index.state = .building }
            throw error
        }
        build.collection.generation += 1
        indexBuilds.removeAll { $0 === build }
    }

    /// Aborts a build: its indexes are gone. What a primary does when a unique index finds a key twice.
    public func abortIndexBuild(_ build: IndexBuild, _ why: String, _ context: WriteContext) throws {
        guard indexBuilds.contains(where: { $0 === build }) else { return }
        let collection = build.collection
        let optime = try nextOpTime(context)
        let entry = commandEntry(collection.namespace.database, collection.uuid, optime, context, collection.kind) {
            o in
            o.append("abortIndexBuild", string: collection.namespace.collection)
            if let buildID = build.buildID { describe(buildID, build.indexes.map { $0.definition }, to: o) }
            o.document("cause") { $0.append("errmsg", string: why) }
        }
        try abort(build, at: optime, entry: entry)
    }

    func abort(_ build: IndexBuild, at optime: OpTime, entry: UnsafeRawBufferPointer?) throws {
        try dropIndex(build.indexes, of: build.collection, at: optime, entry: entry)
        indexBuilds.removeAll { $0 === build }
    }

    /// Aborts the builds on a collection, before it is dropped or renamed.
    func abortIndexBuilds(of collection: Collection, _ why: String, _ context: WriteContext) throws {
        for build in indexBuilds where build.collection === collection { try abortIndexBuild(build, why, context) }
    }

    /// Registers the builds that the catalog says are unfinished: after a restart or a rollback they scan from the
    /// start.
    func restartIndexBuilds() throws {
        for collection in catalog.collections {
            var ids: [CollectionUUID] = []
            for index in collection.indexes where index.state == .building {
                if let id = index.buildID, !ids.contains(id) { ids.append(id) }
            }
            for id in ids {
                let indexes = collection.indexes.filter { $0.state == .building && $0.buildID == id }
                let build = IndexBuild(store: self, collection: collection, indexes: indexes, buildID: id)
                build.mustRestart = true
                indexBuilds.append(build)
            }
        }
    }
}
