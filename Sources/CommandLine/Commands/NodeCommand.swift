internal import BSON
internal import Core
internal import LiveRuntime
internal import Quorate
internal import DataNode

/// `quorate node`: one node a process.
enum NodeCommand {
    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification(
            "node", summary: "Runs one node: a standalone, or with --replset a member of a replica set.",
            details: """
                Members that are started one a process become a set when one of them is told so once: with PyMongo,
                  MongoClient(port=27017, directConnection=True).admin.command("replSetInitiate", {
                      "_id": "rs0",
                      "members": [{"_id": 0, "host": "127.0.0.1:27017"}, {"_id": 1, "host": "127.0.0.1:27018"}, …],
                  })
                SIGINT and SIGTERM stop the node in good order; a second one stops it at once.
                """,
            options: [
                OptionSpecification(
                    "port", .integer(0...65535), "P", default: "27017", help: "where to listen; 0 for any free port"),
                OptionSpecification("host", .text, "HOST", default: "127.0.0.1", help: "the address to listen on"),
                OptionSpecification(
                    "advertise", .text, "HOST",
                    help: "how others reach the node; default: --host, or the machine's name for all addresses"),
                OptionSpecification("replset", .text, "NAME", help: "the replica set that the node belongs to"),
                OptionSpecification(
                    "role", .choice(ClusterRole.allCases.map(\.rawValue)), "ROLE",
                    help: "what the node's replica set is in a sharded cluster: a shard, or the config servers"),
            ] + NodeFlags.specifications(registry, isSharded: true)
        ) { arguments in
            let flags = try NodeFlags(arguments, registry)
            var options = NodeOptions(
                endpoint: Endpoint(
                    host: arguments.text("host") ?? "127.0.0.1", port: arguments.integer("port") ?? 27017))
            options.replicaSetName = arguments.text("replset")
            if let problem = options.replicaSetName.flatMap(ReplicaSet.problem(withName:)) {
                throw UsageError("--replset \(problem)")
            }
            options.clusterRole = arguments.text("role").flatMap(ClusterRole.init)
            if options.clusterRole != nil, options.replicaSetName == nil {
                throw UsageError("--role needs --replset: shards and config servers are replica sets")
            }
            if flags.startsNewSet, options.replicaSetName == nil {
                throw UsageError("--new-set needs --replset, which names the set")
            }
            flags.describe(&options)
            let listensOnAll = options.endpoint.host == "0.0.0.0" || options.endpoint.host == "::"
            options.advertisedHost = arguments.text("advertise") ?? (listensOnAll ? options.hostname : nil)
            let parts = try flags.parts.parts(from: registry)
            let log = LineLog(minimumLevel: flags.logLevel)
            let signals = try await StopSignals.watch(log: log)
            let node = try await RunningNode.start(name: "node", log: log) { [options] runtime in
                let node = try parts.makeNode(
                    runtime, name: "node", directory: flags.parts.directory, options: options)
                node.onStopRequest = { signals.ask() }
                return node
            }
            if flags.startsNewSet {
                do { try await initiate(node) } catch {
                    await node.stop()
                    throw error
                }
            }
            Console.print("listening on mongodb://\(node.endpoint)/")
            await signals.first()
            await node.stop()
            return 0
        }
    }

    /// Makes it a set of its own.
    private static func initiate(_ node: RunningNode) async throws {
        let reply = try await node.withAsync { await $0.run(["replSetInitiate": .document(Document())]) }
        guard reply["ok"]?.asNumber == 1 else {
            throw CommandFailure("--new-set: \(reply["errmsg"]?.asString ?? "the set could not be initiated")")
        }
    }
}
