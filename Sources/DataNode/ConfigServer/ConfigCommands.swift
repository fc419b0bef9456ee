internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// The commands of a cluster's administration, which routers pass on to the primary of the config servers, and what
/// nodes of the cluster ask it.
enum ConfigCommands {
    typealias Run = (ConfigServer, Document) async throws -> Document

    static func add(to table: inout CommandSet) {
        addShards(to: &table)
        addCollections(to: &table)
        addChunks(to: &table)
        addMoves(to: &table)
        addInternal(to: &table)
    }

    private static func addShards(to table: inout CommandSet) {
        add("addShard", .addShard, "takes a replica set into the cluster as a shard", to: &table) { config, body in
            guard let text = body["addShard"]?.asString else {
                throw ServerError(.typeMismatch, "addShard needs a string '<setname>/<host:port>,…'")
            }
            return try await config.addShard(text, name: body["name"]?.asString)
        }
        add("removeShard", .empty, "drains a shard, and removes it when it is empty", to: &table) { config, body in
            try await config.removeShard(try shard(body))
        }
        add("listShards", .empty, "the shards of the cluster", to: &table) { config, _ in
            try await config.listShards()
        }
        add("addShardToZone", .zone, "puts a shard into a zone", to: &table) { config, body in
            try await config.setZone(try shard(body), body["zone"]?.asString ?? "", isIn: true)
        }
        add("removeShardFromZone", .zone, "takes a shard out of a zone", to: &table) { config, body in
            try await config.setZone(try shard(body), body["zone"]?.asString ?? "", isIn: false)
        }
        add("updateZoneKeyRange", .updateZoneKeyRange, "gives a range of keys to a zone", to: &table) { config, body in
            guard let min = body["min"]?.asDocument, let max = body["max"]?.asDocument else {
                throw ServerError(.badValue, "updateZoneKeyRange needs min and max")
            }
            return try await config.updateZoneKeyRange(try namespace(body), min, max, body["zone"]?.asString)
        }
    }

    private static func addCollections(to table: inout CommandSet) {
        add("enableSharding", .enableSharding, "makes a database, on a shard of one's choice", to: &table) {
            config, body in
            guard let name = body["enableSharding"]?.asString else {
                throw ServerError(.typeMismatch, "enableSharding needs the name of a database")
            }
            _ = try await config.createDatabase(name, on: body["primaryShard"]?.asString.map { ShardID($0) })
            return Document()
        }
        add("shardCollection", .shardCollection, "shards a collection", to: &table) { config, body in
            try await config.shardCollection(try ShardCollectionRequest(body))
        }
        add(
            "configureCollectionBalancing", .configureCollectionBalancing, "a collection's chunk size and balancing",
            to: &table
        ) { config, body in
            try await config.configureBalancing(try namespace(body), body)
        }
        add("setAllowMigrations", .setAllowMigrations, "whether a collection's ranges may move", to: &table) {
            config, body in
            try await config.configureBalancing(
                try namespace(body), ["allowMigrations": body["allowMigrations"] ?? .bool(true)])
        }
        add("balancerStatus", .empty, "whether the balancer is on, and at work", to: &table) { config, _ in
            try await config.balancerStatus()
        }
        add("balancerCollectionStatus", .empty, "whether a collection is as the balancer wants it", to: &table) {
            config, body in
            try await config.balancerCollectionStatus(try namespace(body))
        }
        add("balancerStart", .balancer, "has the balancer move ranges", to: &table) { config, _ in
            try await config.setBalancer(isStopped: false)
        }
        add("balancerStop", .balancer, "has the balancer move nothing", to: &table) { config, _ in
            try await config.setBalancer(isStopped: true)
        }
    }

    private static func addChunks(to table: inout CommandSet) {
        add("split", .split, "cuts a chunk in two", to: &table) { config, body in
            try await config.split(try namespace(body), body)
        }
        add("mergeChunks", .mergeChunks, "makes one chunk of several", to: &table) { config, body in
            let (min, max) = try bounds(body)
            return try await config.mergeChunks(try namespace(body), min, max)
        }
        add("clearJumboFlag", .clearJumboFlag, "has a chunk that could not be split tried again", to: &table) {
            config, body in
            try await config.clearJumbo(try namespace(body), body)
        }
    }

    private static func addMoves(to table: inout CommandSet) {
        add("moveChunk", .moveChunk, "moves a chunk to another shard", to: &table) { config, body in
            let force = body["forceJumbo"]?.asBool ?? false
            return try await config.moveRange(try namespace(body), body, force: force)
        }
        add("moveRange", .moveRange, "moves a range of keys to another shard", to: &table) { config, body in
            let force = body["forceJumbo"]?.asBool ?? false
            return try await config.moveRange(try namespace(body), body, force: force)
        }
        add("_configsvrDecideMigration", .clusterMessage, "how a move ends", to: &table) { config, body in
            let request: MigrationRegistry.Request
            switch body["request"]?.asString {
            case "commit": request = .commit
            case "abort": request = .abort
            case "outcome": request = .outcome
            default: throw ServerError(.badValue, "whether to commit or to abort was not said")
            }
            return try await config.decide(try MigrationID(reading: body["_configsvrDecideMigration"]), request)
        }
    }

    private static func addInternal(to table: inout CommandSet) {
        add(CreateDatabaseRequest.name, .clusterMessage, "a database, made when there is none", to: &table) {
            config, body in
            let request = try body.withView { view in
                Result { () throws(ServerError) in try CreateDatabaseRequest(view) }
            }.get()
            let entry = try await config.createDatabase(request.database, on: request.primary)
            return Document { CreateDatabaseReply(primary: entry.primary, version: entry.version).encode(to: $0) }
        }
        add("_configsvrDropCollection", .clusterMessage, "drops a sharded collection", to: &table) { config, body in
            try await config.dropCollection(try Namespace(validating: body["ns"]?.asString ?? ""))
        }
        add("_configsvrDropDatabase", .clusterMessage, "drops a database", to: &table) { config, body in
            try await config.dropDatabase(body["db"]?.asString ?? "")
        }
        add("_configsvrPlacement", .clusterMessage, "where a collection is", to: &table) { config, body in
            try await config.describe(try namespace(body), for: ShardID(body["shard"]?.asString ?? ""))
        }
    }

    /// Declares a command that is answered by the config servers' primary.
    static func add(
        _ name: StaticString, _ fields: FieldTable, _ help: String, to table: inout CommandSet, _ run: @escaping Run
    ) {
        table.add(
            Command(name, [.clusterOnly, .adminOnly, .writeConcern], fields, help: help) { context in
                .later {
                    guard let config = context.node.configServer else {
                        throw ServerError(.commandNotFound, "no such command: '\(name)'")
                    }
                    try context.node.checkTakesWrites()
                    try await ClusterCommand.answer(context) { try await run(config, $0) }
                }
            })
    }

    static func namespace(_ body: Document) throws(ServerError) -> Namespace {
        guard let name = body.values.first?.asString else {
            throw ServerError(.badValue, "\(body.keys.first ?? "the command") needs the full name of a collection")
        }
        return try Namespace(validating: name)
    }

    static func shard(_ body: Document) throws(ServerError) -> ShardID {
        guard let name = body.values.first?.asString else {
            throw ServerError(.badValue, "\(body.keys.first ?? "the command") needs the name of a shard")
        }
        return ShardID(name)
    }

    static func bounds(_ body: Document) throws(ServerError) -> (Document, Document) {
        guard let list = body["bounds"]?.asArray, list.count == 2, let min = list[0].asDocument,
            let max = list[1].asDocument
        else { throw ServerError(.badValue, "'bounds' must be two bounds of the shard key") }
        return (min, max)
    }
}
