import BSON
import Core
import Frontend
import Query
import Sharding

/// Commands on databases.
enum DatabaseCommands {
    /// Passes a command on to the database's primary shard, with the database's version.
    static func forward(_ context: RouterContext, _ access: ServerSelection.Operation) async throws(ServerError) {
        context.count()
        try await context.routed { () throws(ServerError) in
            switch context.database {
            case "admin", "config": return try await context.forwardWhole(to: .config, access)
            default: break
            }
            let entry = try await context.catalog.database(context.database)
            try await context.forwardWhole(to: entry.map { .unsharded($0) } ?? .nowhere, access)
        }
    }

    /// `listDatabases`: those of all shards with the sum of their sizes, and those of the config servers.
    static func list(_ context: RouterContext) async throws(ServerError) {
        context.count()
        let filter: Filter?
        if let value = context.body["filter"], value.type != .null {
            guard let view = value.asDocument else { throw wrongType("listDatabases.filter", value, "object") }
            filter = try Filter(view, context: QueryContext(nowMillis: context.runtime.wallClock.milliseconds))
        } else {
            filter = nil
        }
        let namesOnly = context.body["nameOnly"]?.isTruthy ?? false
        var sizes: [String: (bytes: Int64, byShard: [(String, Int64)])] = [:]
        for shard in try await context.catalog.allShards() {
            let reply = try await databases(of: try await context.catalog.shard(shard), context)
            for (name, size) in reply where !["admin", "config", "local"].contains(name) {
                sizes[name, default: (0, [])].bytes += size
                sizes[name]?.byShard.append((shard.name, size))
            }
        }
        for (name, size) in try await databases(of: context.catalog.config, context) {
            if ["admin", "config"].contains(name) { sizes[name] = (size, [("config", size)]) }
        }
        var total: Int64 = 0
        var entries: [Document] = []
        for (name, size) in sizes.sorted(by: { $0.key < $1.key }) {
            let entry = Document { writer in
                writer.append("name", string: name)
                guard !namesOnly else { return }
                writer.append("sizeOnDisk", int64: size.bytes)
                writer.append("empty", bool: false)
                writer.document("shards") { for (shard, bytes) in size.byShard { $0.append(shard, .int64(bytes)) } }
            }
            if let filter, !(try entry.withChecked({ view throws(ServerError) in try filter.matches(view) })) {
                continue
            }
            total += size.bytes
            entries.append(entry)
        }
        context.writer.array("databases") { array in for entry in entries { array.append(entry) } }
        if !namesOnly {
            context.writer.append("totalSize", int64: total)
            context.writer.append("totalSizeMb", int64: total >> 20)
        }
    }

    private static func databases(
        of set: RemoteSet, _ context: RouterContext
    ) async throws(ServerError) -> [(name: String, size: Int64)] {
        let command = Document { writer in
            writer.append("listDatabases", int32: 1)
            context.appendCommon(to: writer)
        }
        let reply = try await context.send(
            try context.forwarded(RoutedRequest(), access: .read, body: command), to: set
        ).checked()
        context.note(reply)
        return reply.body.withView { view in
            (view["databases"]?.asArray ?? .empty).compactMap { element in
                guard let entry = element.value.asDocument, let name = entry["name"]?.asString else { return nil }
                return (name, entry["sizeOnDisk"]?.asInteger ?? 0)
            }
        }
    }

    /// `dropDatabase`: a matter of the config servers, which have all shards drop it.
    static func drop(_ context: RouterContext) async throws(ServerError) {
        context.count()
        let name = context.database
        guard !["admin", "config", "local"].contains(name) else {
            throw ServerError(.illegalOperation, "Cannot drop '\(name)' database")
        }
        guard try await context.catalog.database(name) != nil else {
            // There is none.
            return
        }
        let command = Document { writer in
            writer.append("_configsvrDropDatabase", int32: 1)
            writer.append("db", string: name)
            writer.append("$db", string: "admin")
        }
        var request = try context.forwarded(
            RoutedRequest(), access: .write, body: command, keepsSequences: false)
        request.isRepeatable = true
        let reply = try await context.send(request, to: context.catalog.config).checked()
        context.catalog.forget(database: name)
        context.note(reply)
        context.writer.append("dropped", string: name)
    }

    /// `renameCollection`: within a database, of collections that are not sharded.
    static func rename(_ context: RouterContext) async throws(ServerError) {
        context.count()
        guard let from = context.argument.asString, let to = context.body["to"]?.asString else {
            throw ServerError(.typeMismatch, "renameCollection needs the names of two collections")
        }
        let source = try Namespace(validating: from)
        let target = try Namespace(validating: to)
        try await context.routed { () throws(ServerError) in
            for namespace in [source, target] {
                if try await context.catalog.placement(of: namespace) != nil {
                    throw ServerError(
                        .illegalOperation, "renaming a sharded collection is not supported yet: \(namespace)")
                }
            }
            guard let entry = try await context.catalog.database(source.database) else {
                throw ServerError(.namespaceNotFound, "Source collection \(source) does not exist")
            }
            let other = try await context.catalog.databaseForWriting(target.database)
            guard entry.primary == other.primary else {
                throw ServerError(
                    .commandFailed, "Source and destination collections must be on same shard: \(source) and \(target)")
            }
            let (set, versions) = try await context.target(of: .unsharded(entry))
            // Sent to the database admin; the version is that of the source's database.
            let request = try context.forwarded(
                source.database == target.database ? versions : RoutedRequest(), access: .write)
            try context.relay(try await context.send(request, to: set))
        }
    }
}

/// Commands that each shard carries out.
enum AllShards {
    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        var replies: [(ShardID, RemoteReply)] = []
        for shard in try await context.catalog.allShards() {
            let request = try context.forwarded(RoutedRequest(), access: .write)
            let reply = try await context.send(request, to: shard).checked()
            context.note(reply)
            replies.append((shard, reply))
        }
        context.writer.document("all") { writer in
            for (shard, reply) in replies {
                writer.document(shard.name) { inner in
                    reply.body.withView { view in
                        for field in view where !(field.key == "$clusterTime") && !(field.key == "operationTime") {
                            inner.append(field.key, field.value)
                        }
                    }
                }
            }
        }
    }
}
