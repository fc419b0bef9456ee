internal import BSON
internal import Core
internal import LiveRuntime
internal import Quorate
internal import DataNode

/// `quorate up sharded`: a whole sharded cluster in one process.
enum UpSharded {
    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification(
            "sharded", summary: "Starts a sharded cluster, each node on a thread of its own.",
            details: """
                Prints "ready" and the connection string when the shards are added and the routers answer.
                The shards are called shard0, shard1, …, and so are their sets; that of the config servers is config.
                SIGINT and SIGTERM stop it in good order; a second one stops it at once.
                """,
            options: [
                OptionSpecification(
                    "shards", .integer(1...Limits.clusterShardsStarted), "N", default: "2", help: "how many shards"),
                OptionSpecification(
                    "members", .integer(1...Limits.votersMax), "N", default: "3", help: "how many members each has"),
                OptionSpecification(
                    "config-members", .integer(1...Limits.votersMax), "N", default: "1",
                    help: "how many config servers"),
                OptionSpecification("routers", .integer(1...16), "N", default: "1", help: "how many routers"),
                OptionSpecification(
                    "port", .integer(0...65000), "P", default: "27017",
                    help: "where the first router listens, the other nodes behind it; 0 for any free ports"),
            ] + NodeFlags.specifications(registry, isSharded: true)
        ) { try await run($0, registry) }
    }

    private static func run(_ arguments: Arguments, _ registry: PartRegistry) async throws -> Int32 {
        let flags = try NodeFlags(arguments, registry, port: arguments.integer("port") ?? 27017)
        guard !flags.startsNewSet else {
            throw UsageError("--new-set makes a replica set of a backup: it does not go with 'up sharded'")
        }
        // Watched before anything starts: a signal that comes meanwhile is not lost.
        let signals = try await StopSignals.watch(log: LineLog(minimumLevel: .error))
        let configured = ShardedCluster(
            shards: arguments.integer("shards") ?? 2, members: arguments.integer("members") ?? 3,
            configServers: arguments.integer("config-members") ?? 1, routers: arguments.integer("routers") ?? 1
        )
        .parts(flags.parts, from: registry)
        .log(LineLog(minimumLevel: flags.logLevel))
        .nodeOptions(flags.describe)
        .routerOptions(flags.describe)
        let cluster = try await signals.whileStarting { try await configured.start() }
        let seeds = cluster.routers.map(\.endpoint.description).joined(separator: ",")
        let sets = [("config servers", cluster.config)] + cluster.shards.map { ($0.name, $0) }
        let width = sets.map { $0.0.count }.max() ?? 0
        let lines = sets.map { name, set in
            let members = set.members.map(\.endpoint.description).joined(separator: ",")
            return "\(name)\(String(repeating: " ", count: width - name.count))  \(set.name)/\(members)"
        }
        Console.print(
            """
            ready: \(cluster.connectionString)

            \(lines.joined(separator: "\n"))

            from Python:  pymongo.MongoClient("mongodb://\(seeds)/")
            to stop:      press Control-C
            """)
        // The last router that a client shuts down ends the program.
        let ending = Task {
            await cluster.untilAllHaveStopped()
            if !Task.isCancelled { signals.ask() }
        }
        await signals.first()
        ending.cancel()
        await cluster.stop()
        return 0
    }
}
