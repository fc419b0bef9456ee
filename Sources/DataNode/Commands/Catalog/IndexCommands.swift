internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `createIndexes` and `dropIndexes`.
enum IndexCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "createIndexes", [.write, .stable], .createIndexes,
                help: "creates indexes; on a collection in use, while it stays in use",
                run: create))
        table.add(
            Command(
                "dropIndexes", [.write, .stable], .dropIndexes,
                help: "drops indexes by name, by key pattern, or all but _id", run: drop),
            aliases: ["deleteIndexes"])
        table.add(
            Command(
                "setIndexCommitQuorum", [.write], .setIndexCommitQuorum,
                help: "changes the commit quorum of an index build that runs",
                run: setQuorum))
    }

    private static func create(_ context: CommandContext) throws -> CommandOutcome {
        try context.checkWritable()
        let namespace = try context.namespace()
        let concern = try context.writeConcern()
        let quorum = try context.body["commitQuorum"].map { value throws(ServerError) in try CommitQuorum(value) }
        _ = try quorum?.concern(context.node)
        guard let list = context.body["indexes"] else {
            throw ServerError(.missingField, "BSON field 'createIndexes.indexes' is missing but a required field")
        }
        guard let array = list.asArray else { throw wrongType("createIndexes.indexes", list, "array") }
        var specifications: [DocumentView] = []
        for element in array {
            guard let view = element.value.asDocument else {
                throw wrongType("createIndexes.indexes.\(element.key.string)", element.value, "object")
            }
            specifications.append(view)
            try context.node.shard?.checkIndex(view, of: namespace)
        }
        let before = context.node.lastOpTime
        let outcome = try context.node.data.createIndexes(
            namespace, specifications, try context.writeContext(),
            ignoresUnknownOptions: context.body["ignoreUnknownIndexOptions"]?.isTruthy ?? false)
        guard outcome.build != nil || !outcome.building.isEmpty || quorum != nil else {
            append(outcome, to: context.writer)
            let after = context.node.lastOpTime
            return context.finishWrite(after == before ? nil : after, concern)
        }
        outcome.build?.quorum = quorum
        return .later {
            if let build = outcome.build { try await finish(build, context) }
            for index in outcome.building { try await waitUntilReady(index, context) }
            append(outcome, to: context.writer)
            let quorum = outcome.build.map { $0.quorum as? CommitQuorum } ?? quorum
            if let quorum { try await context.awaitQuorum(quorum) }
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    private static func setQuorum(_ context: CommandContext) throws -> CommandOutcome {
        try context.checkWritable()
        let namespace = try context.namespace()
        guard let value = context.body["commitQuorum"], let names = context.body["indexNames"]?.asArray,
            !names.isEmpty
        else {
            throw ServerError(.failedToParse, "setIndexCommitQuorum.indexNames must be an array of index names")
        }
        let quorum = try CommitQuorum(value)
        _ = try quorum.concern(context.node)
        let wanted = Set(names.compactMap { $0.value.asString })
        let build = context.node.data.indexBuilds.first { build in
            build.collection.namespace == namespace && Set(build.indexes.map { $0.name }) == wanted
        }
        guard let build else {
            throw ServerError(
                .indexNotFound, "Cannot find an index build on collection '\(namespace)' with the provided index names")
        }
        build.quorum = quorum
        return .done
    }

    private static func append(_ outcome: CreateIndexesOutcome, to writer: DocumentWriter) {
        writer.append("numIndexesBefore", int32: Int32(truncatingIfNeeded: outcome.indexesBefore))
        writer.append("numIndexesAfter", int32: Int32(truncatingIfNeeded: outcome.indexesAfter))
        writer.append("createdCollectionAutomatically", bool: outcome.createdCollection)
        if outcome.indexesBefore == outcome.indexesAfter {
            writer.append("note", string: "all indexes already exist")
        }
    }

    /// Scans in slices and commits; aborts the build when it fails or the client's time is over.
    static func finish(_ build: IndexBuild, _ context: CommandContext) async throws {
        let data = context.node.data
        defer { context.node.indexBuildEnded.fire() }
        do {
            try await context.inPreparingSlices { try build.step(until: $0).ended }
            try data.commitIndexBuild(build, try context.writeContext())
        } catch {
            await context.node.awaitUnlock()
            // A member that is no longer primary leaves the build to the one that is.
            if (try? context.checkWritable()) != nil {
                try data.abortIndexBuild(build, String(describing: error), try context.writeContext())
            }
            throw error
        }
    }

    /// Waits for a build that another command runs.
    private static func waitUntilReady(_ index: CollectionIndex, _ context: CommandContext) async throws {
        while index.state == .building {
            try context.checkWritable()
            try context.checkDeadline()
            await context.node.indexBuildEnded.wait(until: context.deadline, on: context.connection)
        }
    }

    private static func drop(_ context: CommandContext) throws -> CommandOutcome {
        let namespace = try context.namespace()
        guard let which = context.body["index"] else {
            throw ServerError(.missingField, "BSON field 'dropIndexes.index' is missing but a required field")
        }
        try context.node.shard?.checkDropIndexes(which, of: namespace)
        return try context.catalogWrite { write in
            let before = try context.node.data.dropIndexes(namespace, which, write)
            context.writer.append("nIndexesWas", int32: Int32(truncatingIfNeeded: before))
            if which.asString == "*" {
                context.writer.append("msg", string: "non-_id indexes dropped for collection")
            }
        }
    }
}
