internal import BSON
internal import Core
internal import LiveRuntime
internal import Quorate
internal import Router

/// `quorate router`: one router a process.
enum RouterCommand {
    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification(
            "router", summary: "Runs a router of a sharded cluster.",
            details: """
                It listens at once, and answers as soon as it reaches a config server. Shards are added through it: with
                PyMongo,
                  MongoClient(port=27017).admin.command("addShard", "shard0/127.0.0.1:27018,127.0.0.1:27019")
                SIGINT and SIGTERM stop it in good order; a second one stops it at once.
                """,
            options: [
                OptionSpecification(
                    "configdb", .text, "NAME/HOST:PORT,…", help: "the config servers' set and some of its members"),
                OptionSpecification(
                    "port", .integer(0...65535), "P", default: "27017", help: "where to listen; 0 for any free port"),
                OptionSpecification("host", .text, "HOST", default: "127.0.0.1", help: "the address to listen on"),
                OptionSpecification(
                    "advertise", .text, "HOST",
                    help: "how others reach it; default: --host, or the machine's name for all addresses"),
                OptionSpecification(
                    "log-level", .choice(["debug", "info", "warning", "error"]), "LEVEL", default: "warning",
                    help: "which lines go to standard error"),
            ] + PartFlags.specifications(registry, only: ["transport", "read-selector"])
        ) { arguments in
            let flags = try NodeFlags(arguments, registry)
            let (name, seeds) = try configServers(arguments.text("configdb"))
            var options = RouterOptions(
                endpoint: Endpoint(
                    host: arguments.text("host") ?? "127.0.0.1", port: arguments.integer("port") ?? 27017),
                configSetName: name, configSeeds: seeds)
            flags.describe(&options)
            let listensOnAll = options.endpoint.host == "0.0.0.0" || options.endpoint.host == "::"
            options.advertisedHost = arguments.text("advertise") ?? (listensOnAll ? options.hostname : nil)
            let parts = try flags.parts.parts(from: registry)
            let log = LineLog(minimumLevel: flags.logLevel)
            let signals = try await StopSignals.watch(log: log)
            let router = try await RunningRouter.start(name: "router", log: log) { [options] runtime in
                let router = try parts.makeRouter(runtime, name: "router", options: options)
                router.onStopRequest = { signals.ask() }
                return router
            }
            Console.print("listening on mongodb://\(router.endpoint)/")
            await signals.first()
            await router.stop()
            return 0
        }
    }

    /// `NAME/host:port,…`.
    private static func configServers(_ text: String?) throws(UsageError) -> (name: String, seeds: [Endpoint]) {
        guard let text else { throw UsageError("router needs --configdb NAME/HOST:PORT,…, the config servers") }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let hosts = parts.count == 2 ? parts[1].split(separator: ",").map { Endpoint(String($0)) } : []
        let seeds = hosts.compactMap { $0 }
        guard parts.count == 2, !parts[0].isEmpty, !seeds.isEmpty, seeds.count == hosts.count else {
            throw UsageError("--configdb must be NAME/HOST:PORT,…, the config servers' set, not '\(text)'")
        }
        return (String(parts[0]), seeds)
    }
}
