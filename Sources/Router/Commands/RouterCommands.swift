import BSON
import Core
import Frontend
import Sharding

/// What a router does with each command of a data node, by its name.
enum RouterCommands {
    typealias Rule = (RouterContext) throws -> CommandOutcome

    /// The commands as a router answers them: those that data nodes declare, each with its rule or refused by name, and
    /// those of the config servers.
    static func table(of declared: [CommandDeclaration]) -> [Command<RouterContext>] {
        let known = declared.filter { !$0.traits.contains(.memberOnly) }
        let others = ConfigCommands.declarations.filter { other in
            !known.contains { "\($0.name)" == "\(other.name)" }
        }
        let rules = rules
        return (known + others).map { declaration in
            let name = "\(declaration.name)"
            let rule = rules[name] ?? { _ in throw refusal(of: name) }
            return Command(
                declaration.name, declaration.traits, declaration.fields, help: declaration.help,
                aliases: declaration.aliases, run: rule)
        }
    }

    /// The error for a command that a router does not answer.
    private static func refusal(of name: String) -> ServerError {
        let reason =
            refused[name]
            ?? (name.hasPrefix("replSet") ? "it is about one replica set" : "it is about one member's data")
        return ServerError(
            .commandNotSupported,
            "\(name) is not supported through a router: \(reason). Connect to the shard's members.")
    }

    private static let refused: [String: String] = [
        "applyOps": "oplog entries are those of one shard", "appendOplogNote": "each shard has an oplog of its own",
        "dbHash": "each shard has data of its own",
    ]

    private static var rules: [String: Rule] {
        own.merging(collections) { $1 }.merging(databases) { $1 }.merging(ConfigCommands.rules) { $1 }
    }

    /// What concerns the router itself, or the whole cluster.
    private static var own: [String: Rule] {
        [
            "getMore": CursorCommands.getMore, "killCursors": CursorCommands.killCursors,
            "getCmdLineOpts": RouterInformation.commandLine, "hostInfo": RouterInformation.host,
            "serverStatus": RouterInformation.serverStatus, "getDiagnosticData": RouterInformation.diagnosticData,
            "getParameter": RouterInformation.getParameter, "setParameter": RouterInformation.setParameter,
            "connPoolStats": RouterInformation.connections, "shutdown": RouterInformation.shutdown,
            "currentOp": OperationCommands.current, "killOp": OperationCommands.kill,
            "reapLogicalSessionCacheNow": { _ in .done },
            "listDatabases": { context in .later { try await DatabaseCommands.list(context) } },
            "dropDatabase": { context in .later { try await DatabaseCommands.drop(context) } },
            "bulkWrite": { context in .later { try await BulkWrite.run(context) } },
            "renameCollection": { context in .later { try await DatabaseCommands.rename(context) } },
            "fsync": { context in .later { try await AllShards.run(context) } },
            "fsyncUnlock": { context in .later { try await AllShards.run(context) } },
        ]
    }

    /// What is about one collection, and what happens when that is sharded.
    private static var collections: [String: Rule] {
        [
            "find": CollectionRule(.read, sharded: FindRouting.run).rule,
            "aggregate": { context in .later { try await AggregateRouting.run(context) } },
            "count": CollectionRule(.read, sharded: CountRouting.count).rule,
            "distinct": CollectionRule(.read, sharded: CountRouting.distinct).rule,
            "explain": { context in .later { try await ExplainRouting.run(context) } },
            "insert": { context in .later { try await BatchRouting.run(context) } },
            "update": { context in .later { try await BatchRouting.run(context) } },
            "delete": { context in .later { try await BatchRouting.run(context) } },
            "findAndModify": CollectionRule(.create, sharded: FindAndModifyRouting.run).rule,
            "create": CollectionRule(.create, sharded: ShardedDefinitions.create).rule,
            "drop": CollectionRule(.write, sharded: ShardedDefinitions.drop).rule,
            "createIndexes": CollectionRule(.create, sharded: ShardedDefinitions.change).rule,
            "dropIndexes": CollectionRule(.write, sharded: ShardedDefinitions.change).rule,
            "collMod": CollectionRule(.write, sharded: ShardedDefinitions.change).rule,
            "listIndexes": CollectionRule(.read, sharded: ShardedDefinitions.listIndexes).rule,
            "collStats": CollectionRule(.read, sharded: ShardedStatistics.collStats).rule,
            "dataSize": CollectionRule(.read, sharded: RouterCommands.refuseSharded).rule,
            "validate": CollectionRule(.read, sharded: ShardedStatistics.validate).rule,
            "convertToCapped": CollectionRule(.write, sharded: RouterCommands.refuseSharded).rule,
            "cloneCollectionAsCapped": CollectionRule(.write, sharded: RouterCommands.refuseSharded).rule,
            "compact": CollectionRule(.write, sharded: RouterCommands.refuseSharded).rule,
            "setIndexCommitQuorum": CollectionRule(.write, sharded: RouterCommands.refuseSharded).rule,
            "planCacheClear": CollectionRule(.read, sharded: ShardedDefinitions.change).rule,
        ]
    }

    /// What is about one database, and goes to its primary shard.
    private static var databases: [String: Rule] {
        [
            "listCollections": { context in .later { try await DatabaseCommands.forward(context, .read) } },
            "dbStats": { context in .later { try await ShardedStatistics.dbStats(context) } },
            "validateDBMetadata": { context in .later { try await DatabaseCommands.forward(context, .read) } },
        ]
    }

    private static func refuseSharded(
        _ context: RouterContext, _ collection: RoutedCollection
    ) async throws(ServerError) {
        throw unsupported(context)
    }

    static func unsupported(_ context: RouterContext) -> ServerError {
        ServerError(
            .commandNotSupported, "\(context.command.name) is not supported on sharded collections")
    }
}

/// How a command on one collection is routed: as a whole to the primary shard of its database, or by its own rule when
/// the collection is sharded.
struct CollectionRule {
    enum Kind {
        case read, write
        /// A write that makes the database when there is none.
        case create
    }
    typealias Sharded = (RouterContext, RoutedCollection) async throws(ServerError) -> Void

    private let kind: Kind
    private let sharded: Sharded

    init(_ kind: Kind, sharded: @escaping Sharded) {
        self.kind = kind
        self.sharded = sharded
    }

    var rule: RouterCommands.Rule {
        { [self] context in
            context.count()
            let namespace = try context.namespace()
            return .later {
                try await context.routed { () throws(ServerError) in
                    switch try await context.destination(namespace, kind) {
                    case .sharded(let collection): try await sharded(context, collection)
                    case let other: try await context.forwardWhole(to: other, kind == .read ? .read : .write)
                    }
                }
            }
        }
    }
}
