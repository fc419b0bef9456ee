internal import BSON
internal import Core

/// `currentOp` and `$currentOp`: what is going on. Short commands are over before anyone can look, so it shows the one
/// that asks and the cursors that wait for their next batch.
enum CurrentOperation {
    static func add(to table: inout CommandTable) {
        table.add(
            Command("currentOp", [.adminOnly], .currentOp, help: "what the node is doing") { context in
                context.writer.array("inprog") { for document in documents(context) { $0.append(document) } }
                return .done
            })
    }

    static func documents(_ context: CommandContext) -> [Document] {
        let node = context.node
        let asking = Document { writer in
            writer.append("type", string: "op")
            writer.append("host", string: node.advertisedName)
            writer.append("desc", string: "conn\(context.connection.connection.id)")
            writer.append("active", bool: true)
            writer.append("op", string: "command")
            writer.append("ns", string: "\(context.database).$cmd")
            writer.append("command", context.body)
            if let session = context.body["lsid"]?.asDocument { writer.append("lsid", session) }
        }
        return [asking] + node.cursors.idleDocuments(host: node.advertisedName)
    }
}
