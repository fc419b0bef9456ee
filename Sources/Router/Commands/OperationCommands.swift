import BSON
import Core
import Frontend
import Query

/// `currentOp` and `killOp`: the operations that clients of this router have under way.
enum OperationCommands {
    /// All fields but the command's own are a filter on what is shown.
    static func current(_ context: RouterContext) throws -> CommandOutcome {
        var report = OperationReport()
        let filter = Document { writer in
            for element in context.body.dropFirst() where !GenericArguments.isGeneric(element.key) {
                switch element.key {
                case "$all": report.idleConnections = element.value.isTruthy
                case "$ownOps", "$truncateOps": continue
                default: writer.append(element.key, element.value)
                }
            }
        }
        let query = QueryContext(nowMillis: context.runtime.wallClock.milliseconds)
        let matcher = try filter.withView { view throws(ServerError) in try Filter(view, context: query) }
        var shown: [Document] = []
        for document in report.documents(context) where try document.withView({ try matcher.matches($0) }) {
            shown.append(document)
        }
        context.writer.array("inprog") { for document in shown { $0.append(document) } }
        return .done
    }

    static func kill(_ context: RouterContext) throws -> CommandOutcome {
        guard let value = context.body["op"] else {
            throw ServerError(.noSuchKey, "Did not provide \"op\" field")
        }
        // Operations of a shard are named with the shard in front, "shard:opid", and are ended there.
        if value.asString != nil {
            throw ServerError(
                .commandNotSupported, "an operation of a shard is ended at the shard: connect to its primary")
        }
        guard let number = value.asInteger,
            let id = Int32(exactly: number) ?? UInt32(exactly: number).map(Int32.init(bitPattern:))
        else {
            throw ServerError(
                .typeMismatch, "Expected field \"op\" to have numeric type, but found \(value.type.operatorName)")
        }
        context.frontend.interruptOperations { $0.id == id }
        context.writer.append("info", string: "attempting to kill op")
        return .done
    }
}
