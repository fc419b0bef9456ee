import BSON
import Core
import Query

extension DataStore {
    /// Writes the start entry of a build and registers it: hidden indexes that `IndexBuild.step` fills.
    func startIndexBuild(_ specs: [IndexSpec], _ collection: Collection, _ context: WriteContext) throws -> IndexBuild {
        let buildID = CollectionUUID(runtime)
        return try step { step in
            let optime = try nextOpTime(context)
            step.optime = optime
            try logCommand(collection.namespace.database, collection.uuid, collection.kind, step, context) { o in
                o.append("startIndexBuild", string: collection.namespace.collection)
                describe(buildID, specs.map { $0.definition }, to: o)
            }
            return try startIndexBuild(buildID, specs, collection, at: optime, step)
        }
    }

    private func describe(_ buildID: CollectionUUID, _ definitions: [Document], to o: DocumentWriter) {
        o.append("indexBuildUUID", buildID)
        o.array("indexes") { array in for definition in definitions { array.append(definition) } }
    }

    func startIndexBuild(
        _ buildID: CollectionUUID, _ specs: [IndexSpec], _ collection: Collection, at optime: OpTime, _ step: WriteStep
    ) throws -> IndexBuild {
        restoreDefinition(of: collection, afterRewindOf: step)
        var added: [CollectionIndex] = []
        for spec in specs {
            added.append(
                CollectionIndex(
                    spec, table: try catalog.newTable(), state: .building, visibleFrom: optime.timestamp,
                    buildID: buildID))
        }
        collection.indexes += added
        for index in added { step.dropTable(index.table) }
        try catalog.put(collection, step)
        collection.generation += 1
        let build = IndexBuild(store: self, collection: collection, indexes: added, buildID: buildID)
        indexBuilds.append(build)
        step.onRewind { [self] in indexBuilds.removeAll { $0 === build } }
        return build
    }

    /// Commits a build whose scan is through: its indexes become visible, here and, by the entry, on all members.
    public func commitIndexBuild(_ build: IndexBuild, _ context: WriteContext) throws {
        try invariant(build.isScanned, "an index build is committed before its scan is through")
        guard indexBuilds.contains(where: { $0 === build }) else {
            throw ServerError(.indexBuildAborted, "the index build was aborted")
        }
        let collection = build.collection
        try step { step in
            let optime = try nextOpTime(context)
            step.optime = optime
            try logCommand(collection.namespace.database, collection.uuid, collection.kind, step, context) { o in
                o.append("commitIndexBuild", string: collection.namespace.collection)
                if let buildID = build.buildID { describe(buildID, build.indexes.map { $0.definition }, to: o) }
            }
            try commit(build, at: optime, step)
        }
    }

    func commit(_ build: IndexBuild, at optime: OpTime, _ step: WriteStep) throws {
        let builds = indexBuilds
        step.onRewind { [self] in
            for index in build.indexes { index.state = .building }
            indexBuilds = builds
        }
        for index in build.indexes {
            index.state = .ready
            index.visibleFrom = optime.timestamp
        }
        try catalog.put(build.collection, step)
        build.collection.generation += 1
        indexBuilds.removeAll { $0 === build }
    }

    /// Aborts a build: its indexes are gone. What a primary does when a unique index finds a key twice.
    public func abortIndexBuild(_ build: IndexBuild, _ why: String, _ context: WriteContext) throws {
        guard indexBuilds.contains(where: { $0 === build }) else { return }
        let collection = build.collection
        try step { step in
            step.optime = try nextOpTime(context)
            try logCommand(collection.namespace.database, collection.uuid, collection.kind, step, context) { o in
                o.append("abortIndexBuild", string: collection.namespace.collection)
                if let buildID = build.buildID { describe(buildID, build.indexes.map { $0.definition }, to: o) }
                o.document("cause") { $0.append("errmsg", string: why) }
            }
            try abort(build, step)
        }
    }

    func abort(_ build: IndexBuild, _ step: WriteStep) throws {
        let builds = indexBuilds
        step.onRewind { [self] in indexBuilds = builds }
        try dropIndexes(build.indexes, of: build.collection, step)
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
