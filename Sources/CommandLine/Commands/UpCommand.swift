internal import BSON
internal import Core
internal import LiveRuntime
internal import Quorate
internal import DataNode

/// `quorate up`: whole clusters in one process.
enum UpCommand {
    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification(
            "up", summary: "Starts a whole cluster in this process.",
            subcommands: [
                CommandSpecification(
                    "replica-set", summary: "Starts a replica set, each member on a thread of its own.",
                    details: """
                        Prints "ready" and the connection string when a majority has acknowledged a write.
                        SIGINT and SIGTERM stop it in good order; a second one stops it at once.
                        """,
                    options: [
                        OptionSpecification(
                            "members", .integer(1...Limits.votersMax), "N", default: "3", help: "how many members"),
                        OptionSpecification(
                            "arbiters", .integer(0...Limits.votersMax - 1), "N", default: "0",
                            help: "how many members more that only vote"),
                        OptionSpecification(
                            "port", .integer(0...65000), "P", default: "27017",
                            help: "where the first member listens, the others behind it; 0 for any free ports"),
                        OptionSpecification("name", .text, "NAME", default: "rs0", help: "the set's name"),
                        OptionSpecification(
                            "default-write-concern", .text, "W",
                            help: "what writes wait for that name no concern: a number of members or 'majority'"),
                    ] + NodeFlags.specifications(registry)
                ) { try await replicaSet($0, registry) },
                UpSharded.specification(registry),
            ])
    }

    private static func setDefault(_ concern: String, _ set: RunningReplicaSet) async throws {
        let w: Value = Int32(concern).map { .int32($0) } ?? .string(concern)
        let reply = try await set.primary.run(["setDefaultRWConcern": 1, "defaultWriteConcern": ["w": w]])
        guard reply["ok"]?.asNumber == 1 else {
            throw UsageError("--default-write-concern \(concern): \(reply["errmsg"]?.asString ?? "refused")")
        }
    }

    private static func replicaSet(_ arguments: Arguments, _ registry: PartRegistry) async throws -> Int32 {
        let name = arguments.text("name") ?? "rs0"
        if let problem = ReplicaSet.problem(withName: name) { throw UsageError("--name \(problem)") }
        let flags = try NodeFlags(arguments, registry, port: arguments.integer("port") ?? 27017)
        let dataMembers = arguments.integer("members") ?? 3
        let arbiters = arguments.integer("arbiters") ?? 0
        guard dataMembers + arbiters <= Limits.votersMax else {
            throw UsageError(
                "--members and --arbiters make \(dataMembers + arbiters) voters; a set has at most \(Limits.votersMax)")
        }
        let members = ReplicaSet(name) {
            for _ in 0..<dataMembers { Member() }
            for _ in 0..<arbiters { Member.arbiter }
        }
        // Watched before anything starts: a signal that comes meanwhile is not lost.
        let signals = try await StopSignals.watch(log: LineLog(minimumLevel: .error))
        let configured = members.parts(flags.parts, from: registry)
            .log(LineLog(minimumLevel: flags.logLevel))
            .nodeOptions(flags.describe)
        let set = try await signals.whileStarting { try await configured.start() }
        if let concern = arguments.text("default-write-concern") {
            do { try await setDefault(concern, set) } catch {
                await set.stop()
                throw error
            }
        }
        let seeds = set.members.map(\.endpoint.description).joined(separator: ",")
        Console.print(
            """
            ready: \(set.connectionString)

            from Python:  pymongo.MongoClient("mongodb://\(seeds)/?replicaSet=\(name)")
            to stop:      press Control-C
            """)
        // The last member that a client shuts down ends the program.
        let ending = Task {
            await set.untilAllHaveStopped()
            if !Task.isCancelled { signals.ask() }
        }
        await signals.first()
        ending.cancel()
        await set.stop()
        return 0
    }
}
