internal import Core
internal import LiveRuntime

/// `quorate bench`: a closed-loop load on a running set.
enum BenchCommand {
    static func specification() -> CommandSpecification {
        CommandSpecification(
            "bench", summary: "Measures throughput and latency of a running server.",
            details: """
                URI is a connection string, mongodb://host:port,…; the load goes to the primary. Each connection has one
                request in flight. Keys are drawn evenly. Works in the collection \
                \(BenchSettings.database).\(BenchSettings.collection),
                which is dropped before and afterwards.

                workloads:
                  insert  new documents          read    single documents by _id
                  update  $inc by _id            mix-a   half reads, half updates
                                                 mix-b   95 % reads, 5 % updates
                """,
            positionals: ["URI"],
            options: [
                OptionSpecification(
                    "workload", .choice(BenchWorkload.allCases.map(\.rawValue)), "NAME", default: "insert",
                    help: "what is asked for: \(BenchWorkload.allCases.map(\.rawValue).joined(separator: ", "))"),
                OptionSpecification(
                    "connections", .integer(1...1000), "N", default: "32", help: "how many connections"),
                OptionSpecification("seconds", .integer(1...3600), "N", default: "10", help: "how long is measured"),
                OptionSpecification(
                    "warmup", .integer(0...600), "SECONDS", default: "1", help: "how long the load runs before that"),
                OptionSpecification(
                    "keys", .integer(1...10_000_000), "N", default: "10000", help: "documents that are read and updated"
                ),
                OptionSpecification(
                    "document-bytes", .integer(50...1_000_000), "N", default: "200", help: "size of a document"),
                OptionSpecification(
                    "write-concern", .text, "W", default: "majority", help: "a number of members, or majority"),
                OptionSpecification("json", .flag, help: "one line of JSON instead of a table"),
            ]
        ) { arguments in
            let target = try ConnectionString(arguments.positionals[0])
            let settings = settings(from: arguments)
            let log = LineLog(minimumLevel: .error)
            let loop = try EventLoop.start(name: "bench", log: log)
            let report: BenchReport
            do {
                report = try await loop.callAsync {
                    try await BenchRun(runtime: LiveRuntime(loop: loop, log: log), settings: settings).run(target)
                }
            } catch {
                await loop.shutdown()
                throw error
            }
            await loop.shutdown()
            Console.print(arguments.flag("json") ? report.json : report.text)
            guard report.operations > 0 else {
                throw CommandFailure("nothing could be done: \(report.firstError ?? "no reply came in time")")
            }
            return 0
        }
    }

    private static func settings(from arguments: Arguments) -> BenchSettings {
        var settings = BenchSettings()
        settings.workload = arguments.text("workload").flatMap { BenchWorkload(rawValue: $0) } ?? settings.workload
        settings.connections = arguments.integer("connections") ?? settings.connections
        settings.duration = .seconds(arguments.integer("seconds") ?? 10)
        settings.warmup = .seconds(arguments.integer("warmup") ?? 1)
        settings.keys = arguments.integer("keys") ?? settings.keys
        settings.documentBytes = arguments.integer("document-bytes") ?? settings.documentBytes
        settings.writeConcern = arguments.text("write-concern") ?? settings.writeConcern
        return settings
    }
}
