internal import BSON
internal import Core
internal import Data
internal import Frontend

/// One operation as `system.profile` and the log show it.
struct ProfileEntry {
    /// `query`, `insert`, `update`, `remove`, `getmore` or `command`.
    let operation: String
    let namespace: String
    let command: Document
    let elapsed: Duration
    /// What it made the data layer do; nil when nobody watched.
    let work: WorkCounters?
    let plans: [String]
    var cursor: CursorRegistry.Entry?
    var isCursorExhausted = false
    /// What it changed, by MongoDB's names.
    var counts: [(name: StaticString, count: Int)] = []
    var isUpsert = false
    var responseBytes: Int?
    var error: ServerError?

    init(
        operation: StaticString, namespace: String, command: Document, elapsed: Duration, seen: WorkObservation?
    ) {
        self.operation = "\(operation)"
        self.namespace = namespace
        self.command = command
        self.elapsed = elapsed
        work = seen?.work
        plans = seen?.plans ?? []
    }

    /// Whether it asked a query: then it says how much that read.
    private var isQuery: Bool { !plans.isEmpty }
    private var returnsDocuments: Bool {
        operation == "query" || operation == "getmore" || (work?.returned ?? 0) > 0
    }

    func document(at wall: WallTime, _ connection: ClientConnection) -> Document {
        Document { writer in
            writer.append("op", string: operation)
            writer.append("ns", string: namespace)
            writer.append("command", command)
            if let cursor {
                writer.append("cursorid", int64: cursor.id)
                if let origin = cursor.origin, operation == "getmore" {
                    writer.append("originatingCommand", origin.command)
                }
            }
            if isCursorExhausted { writer.append("cursorExhausted", bool: true) }
            if let work, isQuery {
                writer.append("keysExamined", int64: work.keysExamined)
                writer.append("docsExamined", int64: work.documentsExamined)
                if work.sorted > 0 { writer.append("hasSortStage", bool: true) }
            }
            for (name, count) in counts { writer.append(name, int64: Int64(count)) }
            if isUpsert { writer.append("upsert", bool: true) }
            if let work, returnsDocuments { writer.append("nreturned", int64: work.returned) }
            if let error {
                writer.append("ok", double: 0)
                writer.append("errMsg", string: error.message)
                writer.append("errName", string: error.code.name)
                writer.append("errCode", int32: error.code.rawValue)
            }
            if let responseBytes { writer.append("responseLength", int32: Int32(clamping: responseBytes)) }
            writer.append("protocol", string: "op_msg")
            writer.append("millis", int32: Int32(clamping: elapsed.wholeMilliseconds))
            if isQuery { writer.append("planSummary", string: plans.joined(separator: ", ")) }
            writer.append("ts", dateTime: wall.milliseconds)
            writer.append("client", string: Self.host(of: connection.connection.peerDescription))
            if let name = connection.applicationName { writer.append("appName", string: name) }
            writer.array("allUsers") { _ in }
            writer.append("user", string: "")
        }
    }

    /// The line of a slow operation.
    func line() -> String {
        var parts = ["slow: \(operation) \(namespace)"]
        if isQuery { parts.append("planSummary: " + plans.joined(separator: ", ")) }
        if let work, isQuery {
            parts.append("keysExamined:\(work.keysExamined) docsExamined:\(work.documentsExamined)")
        }
        if let work, returnsDocuments { parts.append("nreturned:\(work.returned)") }
        for (name, count) in counts { parts.append("\(name):\(count)") }
        if let error { parts.append("errName:\(error.code.name)") }
        if let responseBytes { parts.append("reslen:\(responseBytes)") }
        parts.append("\(elapsed.wholeMilliseconds)ms")
        parts.append("command: " + command.withView { OperationReport.shown($0) }.extendedJSON())
        return parts.joined(separator: " ")
    }

    /// The host of `host:port`.
    private static func host(of peer: String) -> String {
        guard let colon = peer.lastIndex(of: ":") else { return peer }
        return String(peer[..<colon])
    }
}
