internal import Core
internal import LiveRuntime
internal import Quorate

/// `quorate bench`: a closed-loop load on a running set.
enum BenchCommand {
    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification(
            "bench", summary: "Measures throughput and latency of a running server.",
            details: """
                URI is a connection string, mongodb://host:port,…; the load goes to the primary. Reads go to the members
                that --read-preference allows; --read-selector picks one for each connection. Each connection has one
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
                OptionSpecification(
                    "read-preference", .choice(ReadPreference.Mode.allCases.map(\.rawValue)), "MODE",
                    default: ReadPreference.Mode.primary.rawValue, help: "which members reads may go to"),
                OptionSpecification("json", .flag, help: "one line of JSON instead of a table"),
            ] + PartFlags.specifications(registry, only: [PartKind<any ReadSelector>.readSelector.flag])
        ) { arguments in
            let target = try ConnectionString(arguments.positionals[0])
            let settings = try settings(from: arguments)
            let selector = try selector(from: arguments, registry)
            let log = LineLog(minimumLevel: .error)
            let loop = try EventLoop.start(name: "bench", log: log)
            let report: BenchReport
            do {
                report = try await loop.callAsync {
                    let runtime = LiveRuntime(loop: loop, log: log)
                    return try await BenchRun(runtime: runtime, settings: settings).run(
                        target, selector.make(.readSelector, from: registry))
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

    private static func selector(from arguments: Arguments, _ registry: PartRegistry) throws -> ReadSelectorChoice {
        let flags = try PartFlags(arguments, registry)
        if let other = flags.others.first {
            throw UsageError("--set \(other.name)=\(other.value): only options of the read selector can be set here")
        }
        return try flags.choice(.readSelector, registry)
    }

    private static func settings(from arguments: Arguments) throws(UsageError) -> BenchSettings {
        var settings = BenchSettings()
        settings.workload = arguments.text("workload").flatMap { BenchWorkload(rawValue: $0) } ?? settings.workload
        settings.connections = arguments.integer("connections") ?? settings.connections
        settings.duration = .seconds(arguments.integer("seconds") ?? 10)
        settings.warmup = .seconds(arguments.integer("warmup") ?? 1)
        settings.keys = arguments.integer("keys") ?? settings.keys
        settings.documentBytes = arguments.integer("document-bytes") ?? settings.documentBytes
        settings.writeConcern = arguments.text("write-concern") ?? settings.writeConcern
        settings.readPreference =
            arguments.text("read-preference").flatMap { ReadPreference.Mode(rawValue: $0) } ?? .primary
        if settings.readPreference != .primary, settings.workload.readPercent == 0 {
            throw UsageError("--read-preference: the workload '\(settings.workload.rawValue)' reads nothing")
        }
        if settings.readPreference == .primary, arguments.isGiven(PartKind<any ReadSelector>.readSelector.flag) {
            throw UsageError("--read-selector has no choice while reads go to the primary: see --read-preference")
        }
        return settings
    }
}
