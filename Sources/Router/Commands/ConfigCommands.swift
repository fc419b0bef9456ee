import BSON
import Core
import Frontend
import Sharding

/// The commands that change the cluster or tell of it: they are passed on to the primary of the config servers, which
/// carries them out.
enum ConfigCommands {
    private static let forwarded: [(name: StaticString, help: String)] = [
        ("addShard", "adds a replica set to the cluster"), ("removeShard", "drains a shard, and tells how far it is"),
        ("listShards", "the shards"), ("enableSharding", "makes a database"),
        ("shardCollection", "spreads a collection over the shards"), ("split", "splits a chunk"),
        ("mergeChunks", "makes one chunk of several"),
        ("mergeAllChunksOnShard", "makes chunks of a shard that touch one"), ("moveChunk", "moves a chunk"),
        ("moveRange", "moves a range of keys"), ("clearJumboFlag", "lets a chunk be moved again"),
        ("movePrimary", "moves what is not sharded of a database"),
        ("refineCollectionShardKey", "adds fields to a shard key"), ("addShardToZone", "puts a shard into a zone"),
        ("removeShardFromZone", "takes a shard out of a zone"),
        ("updateZoneKeyRange", "says which keys belong to a zone"), ("balancerStart", "lets the balancer work"),
        ("balancerStop", "stops the balancer"), ("balancerStatus", "what the balancer does"),
        ("balancerCollectionStatus", "whether a collection is balanced"),
        ("configureCollectionBalancing", "how a collection is balanced"),
        ("setAllowMigrations", "whether ranges of a collection may move"),
    ]

    /// Those whose names are given otherwise, too.
    private static let aliases: [String: [StaticString]] = [
        "addShard": ["addshard"], "removeShard": ["removeshard"], "listShards": ["listshards"],
        "enableSharding": ["enablesharding"], "shardCollection": ["shardcollection"], "moveChunk": ["movechunk"],
        "movePrimary": ["moveprimary"],
    ]

    /// Commands that only routers have. Their fields are checked where they are carried out.
    static var declarations: [CommandDeclaration] {
        forwarded.map { name, help in
            CommandDeclaration(
                name, [.adminOnly, .writeConcern], FieldTable([], isOpen: true), help: help,
                aliases: aliases["\(name)"] ?? [])
        } + [
            CommandDeclaration(
                "flushRouterConfig", [.adminOnly], FieldTable([], isOpen: true),
                help: "forgets what the router knows of where data is"),
            CommandDeclaration(
                "getShardMap", [.adminOnly], FieldTable([], isOpen: true), help: "the shards and their members"),
            CommandDeclaration(
                "getShardVersion", [.adminOnly], FieldTable([], isOpen: true),
                help: "the version of a collection's placement that the router has"),
            CommandDeclaration(
                "isdbgrid", [], .empty, help: "that this is a router"),
            CommandDeclaration(
                "netstat", [.adminOnly], .empty, help: "that the router has the config servers' addresses"),
        ]
    }

    static var rules: [String: RouterCommands.Rule] {
        var rules: [String: RouterCommands.Rule] = [:]
        for (name, _) in forwarded { rules["\(name)"] = { context in .later { try await forward(context) } } }
        for name in ["getDefaultRWConcern", "setDefaultRWConcern", "setFeatureCompatibilityVersion"] {
            rules[name] = { context in .later { try await forward(context) } }
        }
        rules["flushRouterConfig"] = flush
        rules["getShardMap"] = { context in .later { try await shardMap(context) } }
        rules["getShardVersion"] = { context in .later { try await version(context) } }
        rules["isdbgrid"] = { context in
            context.writer.append("isdbgrid", int32: 1)
            context.writer.append("hostname", string: context.router.options.hostname)
            return .done
        }
        rules["netstat"] = { context in
            context.writer.append("configserver", string: context.catalog.config.hosts)
            context.writer.append("isdbgrid", int32: 1)
            return .done
        }
        return rules
    }

    /// Passes a command on to the config servers' primary; what it may have changed is read again.
    static func forward(_ context: RouterContext) async throws(ServerError) {
        context.count()
        var request = try context.forwarded(RoutedRequest(), access: .write)
        request.isRepeatable = false
        let reply = try await context.send(request, to: context.catalog.config)
        if reply.isOK { try await note(context) }
        try context.relay(reply)
    }

    private static func note(_ context: RouterContext) async throws(ServerError) {
        switch KeyView(context.command.name) {
        case "addShard", "addshard", "removeShard", "removeshard": try await context.catalog.refreshShards()
        case "movePrimary", "moveprimary", "enableSharding", "enablesharding":
            if let name = context.argument.asString { context.catalog.forget(database: name) }
        case "shardCollection", "shardcollection", "refineCollectionShardKey":
            guard let name = context.argument.asString, let namespace = Namespace(fullName: name) else { return }
            context.catalog.forget(namespace)
            context.catalog.forget(database: namespace.database)
        default: break
        }
    }

    private static func flush(_ context: RouterContext) throws -> CommandOutcome {
        guard let name = context.argument.asString else {
            context.catalog.forgetAll()
            context.writer.append("flushed", bool: true)
            return .done
        }
        if let namespace = Namespace(fullName: name) {
            context.catalog.forget(namespace)
        } else {
            context.catalog.forget(database: name)
        }
        context.writer.append("flushed", bool: true)
        return .done
    }

    private static func shardMap(_ context: RouterContext) async throws(ServerError) {
        try await context.catalog.refreshShards()
        var hosts: [(host: String, shard: String)] = []
        var sets: [(shard: String, set: RemoteSet)] = [("config", context.catalog.config)]
        for shard in context.catalog.shards { sets.append((shard.id.name, try await context.catalog.shard(shard.id))) }
        for (shard, set) in sets {
            for server in set.description.servers { hosts.append((server.address.description, shard)) }
        }
        context.writer.document("map") { writer in for (shard, set) in sets { writer.append(shard, .string(set.hosts)) }
        }
        context.writer.document("hosts") { writer in for (host, shard) in hosts { writer.append(host, .string(shard)) }
        }
        context.writer.document("connStrings") { writer in
            for (shard, set) in sets { writer.append(set.hosts, .string(shard)) }
        }
    }

    private static func version(_ context: RouterContext) async throws(ServerError) {
        guard let name = context.argument.asString else {
            throw wrongType("getShardVersion", context.argument, "string")
        }
        let namespace = try Namespace(validating: name)
        guard let collection = try await context.catalog.placement(of: namespace) else {
            throw ServerError(.namespaceNotSharded, "Collection \(namespace) is not sharded")
        }
        let version = collection.table.version
        context.writer.append("version", timestamp: Timestamp(seconds: version.major, increment: version.minor))
        context.writer.append("versionEpoch", objectID: collection.entry.lastmodEpoch)
        context.writer.append("versionTimestamp", timestamp: collection.entry.epoch.timestamp)
    }
}
