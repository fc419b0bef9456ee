internal import BSON
internal import Core
internal import Data
internal import Frontend

/// Commands that make, change and remove collections and databases.
enum CollectionCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("create", [.write, .stable], .create, help: "creates a collection") { context in
                let namespace = try context.namespace()
                return try context.catalogWrite { write in
                    if context.body["viewOn"] != nil || context.body["pipeline"] != nil {
                        return try context.node.data.createView(namespace, context.body, write, context.queryContext())
                    }
                    if context.node.data.catalog.find(namespace) != nil {
                        // The command, unlike an entry that is applied, refuses what is there already with other
                        // options.
                        _ = try CollectionOptions(parsing: context.body)
                    }
                    _ = try context.node.data.createCollection(namespace, context.body, write)
                }
            })
        table.add(
            Command("drop", [.write, .stable], .empty, help: "drops a collection") { context in
                let namespace = try context.namespace()
                if namespace.isProfile, context.node.profiler.level(of: namespace.database) > 0 {
                    throw ServerError(
                        .illegalOperation, "turn off profiling before dropping system.profile collection")
                }
                try context.node.shard?.checkUnsharded(namespace, "dropped")
                return try context.catalogWrite { write in
                    if context.node.data.catalog.find(namespace) == nil {
                        guard try context.node.data.dropView(namespace, write) else { return }
                        context.writer.append("ns", string: namespace.fullName)
                        return
                    }
                    let indexes = context.node.data.catalog.find(namespace)?.indexes.count ?? 0
                    // Dropping what is not there is a success, as in MongoDB 7 and later.
                    if try context.node.data.dropCollection(namespace, write) {
                        context.writer.append("nIndexesWas", int32: Int32(truncatingIfNeeded: indexes))
                        context.writer.append("ns", string: namespace.fullName)
                    }
                }
            })
        table.add(
            Command("dropDatabase", [.write, .stable], .empty, help: "drops a database with all its collections") {
                context in
                guard let number = context.argument.asNumber else {
                    throw wrongType("dropDatabase.dropDatabase", context.argument, "number")
                }
                guard number.rounded(context.argument.type == .decimal128 ? .toNearestOrEven : .towardZero) == 1 else {
                    throw ServerError(ErrorCode(rawValue: 5_255_100), "Have to pass 1 as 'dropDatabase' parameter")
                }
                return try context.catalogWrite { write in
                    let name = context.database
                    let exists = context.node.data.catalog.databases.contains(name)
                    try context.node.data.dropDatabase(name, write)
                    if exists { context.writer.append("dropped", string: name) }
                }
            })
        table.add(
            Command("renameCollection", [.write, .adminOnly], .renameCollection, help: "renames a collection") {
                context in
                guard let from = context.argument.asString else {
                    throw wrongType("renameCollection", context.argument, "string")
                }
                guard let to = context.body["to"]?.asString else {
                    throw ServerError(.missingField, "BSON field 'renameCollection.to' is missing but a required field")
                }
                let source = try Namespace(validating: from)
                let target = try Namespace(validating: to)
                for namespace in [source, target] { try context.node.shard?.checkUnsharded(namespace, "renamed") }
                let dropTarget = context.body["dropTarget"]?.isTruthy ?? false
                return try context.catalogWrite { write in
                    try context.node.data.renameCollection(source, to: target, dropTarget: dropTarget, write)
                }
            })
        table.add(
            Command(
                "collMod", [.write, .stable], .collMod, help: "changes options of a collection or index", run: modify))
    }

    private static func modify(_ context: CommandContext) throws -> CommandOutcome {
        let namespace = try context.namespace()
        try context.checkWritable()
        try context.node.shard?.checkModification(context.body, of: namespace)
        guard let conversion = try context.node.data.uniqueConversion(namespace, context.body) else {
            return try context.catalogWrite { try modify(namespace, context, $0) }
        }
        let concern = try context.writeConcern()
        return .later {
            try await context.inPreparingSlices { try conversion.step(until: $0).ended }
            try await context.inPreparingSlices { _ in try conversion.finish() }
            if conversion.isDryRun { return }
            try modify(namespace, context, try context.writeContext())
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    private static func modify(_ namespace: Namespace, _ context: CommandContext, _ write: WriteContext) throws {
        let data = context.node.data
        if data.catalog.find(namespace) == nil, let view = try data.view(namespace) {
            return try data.modifyView(view, context.body, write, context.queryContext())
        }
        let reply = try context.node.data.modifyCollection(namespace, context.body, write)
        reply.withView { for field in $0 { context.writer.append(field.key, field.value) } }
    }
}
