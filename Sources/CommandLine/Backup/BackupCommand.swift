internal import BSON
internal import Core
internal import DataNode
internal import LiveRuntime
internal import Quorate
internal import SocketTransport

/// `quorate backup`: a consistent copy of a running member, as a directory of file storage.
enum BackupCommand {
    static func specification() -> CommandSpecification {
        CommandSpecification(
            "backup", summary: "Copies a running member, as it is at one point in time, into a directory.",
            details: """
                URI is a connection string, mongodb://host:port,…; the first of its servers is copied that is a member
                of a replica set and can be read, whatever its storage. It goes on taking reads and writes, and may
                step down meanwhile. DIRECTORY must not exist, or be empty: the copy is made in DIRECTORY.partial and
                gets its name when it is whole and on the disk. What a majority has of the source's data is copied,
                with the records of retryable writes and the oplog entries that close it; identity, votes and
                configuration are not.
                  quorate storage check DIRECTORY                          verifies a backup
                  quorate node --replset NAME --data DIRECTORY --new-set   makes a new replica set of it
                """,
            positionals: ["URI", "DIRECTORY"],
            options: [
                OptionSpecification(
                    "log-level", .choice(["debug", "info", "warning", "error"]), "LEVEL", default: "warning",
                    help: "which lines go to standard error; 'info' tells every ten seconds how far it is")
            ]
        ) { arguments in
            let target = try ConnectionString(arguments.positionals[0])
            let place = try BackupPlace(arguments.positionals[1])
            let log = LineLog(minimumLevel: LogLevel(named: arguments.text("log-level")))
            let signals = try await StopSignals.watch(log: LineLog(minimumLevel: .error))
            try place.begin()
            do {
                let (source, setName) = try await source(of: target)
                let backup = try await RunningBackup.prepare(
                    from: source, setName: setName, into: place.partial, log: log)
                let stopping = Task {
                    await signals.first()
                    if !Task.isCancelled { await backup.cancel() }
                }
                let summary = try await backup.run()
                stopping.cancel()
                try place.finish()
                Console.print(line(summary, place.directory))
                return 0
            } catch {
                place.abandon()
                throw error
            }
        }
    }

    private static func line(_ summary: BackupCopy.Summary, _ directory: String) -> String {
        "\(directory): \(summary.documents) documents in \(summary.collections) collections of '\(summary.setName)', "
            + "copied from \(summary.source), as of \(DateText.format(summary.wall.milliseconds) ?? "?") "
            + "(\(summary.optime))"
    }

    /// The first of the servers that can be copied, and its set's name.
    private static func source(of target: ConnectionString) async throws -> (Endpoint, String) {
        let log = LineLog(minimumLevel: .error)
        let loop = try EventLoop.start(name: "backup: source", log: log)
        do {
            let found = try await loop.callAsync { try await look(target, LiveRuntime(loop: loop, log: log)) }
            await loop.shutdown()
            return found
        } catch {
            await loop.shutdown()
            throw error
        }
    }

    private static func look(_ target: ConnectionString, _ runtime: LiveRuntime) async throws -> (Endpoint, String) {
        let transport = SocketTransport(runtime: runtime)
        var problems: [String] = []
        for endpoint in target.seeds {
            let link = ServerLink(to: endpoint, over: transport, runtime)
            defer { link.close() }
            do {
                let hello = try await link.succeed(["hello": 1])
                if let problem = problem(hello, target) {
                    problems.append("\(endpoint) \(problem)")
                } else if let setName = hello["setName"]?.asString {
                    return (endpoint, setName)
                }
            } catch let failure as CommandFailure {
                problems.append(failure.description)
            }
        }
        throw CommandFailure("there is nothing to copy: " + problems.joined(separator: "; "))
    }

    /// Why a server cannot be copied; nil when it can.
    private static func problem(_ hello: Document, _ target: ConnectionString) -> String? {
        guard let setName = hello["setName"]?.asString else {
            return "is no member of a replica set: a standalone has no oplog to close a copy with"
        }
        if let wanted = target.setName, wanted != setName { return "belongs to '\(setName)', not to '\(wanted)'" }
        if hello["isWritablePrimary"]?.asBool == true || hello["secondary"]?.asBool == true { return nil }
        return hello["arbiterOnly"]?.asBool == true
            ? "is an arbiter, which holds no data" : "cannot be read now: it is neither primary nor secondary"
    }
}
