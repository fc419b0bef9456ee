internal import BSON
internal import Core
internal import LiveRuntime
internal import SocketTransport

/// `quorate status`: the members of a running set, as one of them sees the others, or the shards of a cluster.
enum StatusCommand {
    static func specification() -> CommandSpecification {
        CommandSpecification(
            "status", summary: "Shows the members of a running replica set, or the shards of a cluster.",
            details: """
                URI is a connection string, mongodb://host:port,…; the first of its servers that answers is asked.
                A router tells of shards, their members, chunks, the balancer and moves under way.
                The exit status is 0 when the set has a primary, 1 when it has none or nobody answers.
                """,
            positionals: ["URI"]
        ) { arguments in
            let target = try ConnectionString(arguments.positionals[0])
            let log = LineLog(minimumLevel: .error)
            let loop = try EventLoop.start(name: "status", log: log)
            let status: Document
            do {
                status = try await loop.callAsync { try await ask(target, LiveRuntime(loop: loop, log: log)) }
            } catch {
                await loop.shutdown()
                throw error
            }
            await loop.shutdown()
            if status["shards"] != nil {
                for line in ClusterStatus.lines(status) { Console.print(line) }
                return 0
            }
            for line in table(status) { Console.print(line) }
            return members(of: status).contains { $0["stateStr"]?.asString == "PRIMARY" } ? 0 : 1
        }
    }

    private static func ask(_ target: ConnectionString, _ runtime: LiveRuntime) async throws -> Document {
        let transport = SocketTransport(runtime: runtime)
        let link = try await PrimarySearch(transport: transport, runtime: runtime).anyServer(of: target)
        defer { link.close() }
        let hello = try await link.succeed(["hello": 1])
        if hello["msg"]?.asString == "isdbgrid" { return try await ClusterStatus.gather(link) }
        return try await link.succeed(["replSetGetStatus": 1])
    }

    private static func members(of status: Document) -> [Document] {
        (status["members"]?.asArray ?? []).compactMap(\.asDocument)
    }

    /// The set's name and term, then a line for each member.
    static func table(_ status: Document) -> [String] {
        let members = members(of: status)
        let newest = members.compactMap { optime($0)?.seconds }.max() ?? 0
        var rows = [["id", "member", "state", "health", "behind", "ping", "syncs from"]]
        for member in members {
            let isSelf = member["self"]?.asBool == true
            let isUp = member["health"]?.asNumber == 1 && (isSelf || wasHeard(member))
            rows.append([
                member["_id"]?.asInteger.map { "\($0)" } ?? "?",
                (member["name"]?.asString ?? "?") + (isSelf ? " (asked)" : ""),
                member["stateStr"]?.asString ?? "?",
                isUp ? "up" : "down",
                optime(member).map { "\(newest &- $0.seconds) s" } ?? "-",
                isUp ? member["pingMs"]?.asInteger.map { "\($0) ms" } ?? "-" : "-",
                member["syncSourceHost"]?.asString.flatMap { $0.isEmpty ? nil : $0 } ?? "-",
            ])
        }
        let title = "\(status["set"]?.asString ?? "?"), term \(status["term"]?.asInteger ?? 0)"
        return [title, ""] + columns(rows)
    }

    /// Whether it ever gave a sign of life: before one is missed, a member that is not there counts as healthy.
    private static func wasHeard(_ member: Document) -> Bool {
        ["lastHeartbeat", "lastHeartbeatRecv"].contains { name in
            if case .dateTime(let milliseconds)? = member[name] { milliseconds > 0 } else { false }
        }
    }

    /// Of the newest entry that the member is known to have; nil when none is.
    private static func optime(_ member: Document) -> Timestamp? {
        member["optime"]?.asDocument?["ts"]?.asTimestamp.flatMap { $0 == .zero ? nil : $0 }
    }

    static func columns(_ rows: [[String]]) -> [String] {
        let widths = rows.first.map { $0.indices.map { column in rows.map { $0[column].count }.max() ?? 0 } } ?? []
        return rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            let line = cells.joined(separator: "  ")
            return String(line[..<(line.lastIndex { $0 != " " }.map { line.index(after: $0) } ?? line.startIndex)])
        }
    }
}
