internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `count` and `distinct`.
enum CountCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "count", [.read, .readConcern, .stable], .count, help: "the number of documents that match a filter",
                run: count))
        table.add(
            Command(
                "distinct", [.read, .snapshotRead, .readConcern], .distinct, help: "the values of one field, each once",
                run: distinct))
    }

    private static func count(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        let namespace = try context.namespace()
        return try SingleReplyRead.start(context) { context, point in
            let operation = try CountOperation(
                context.node.data, namespace, context.body, context: context.queryContext(), at: point)
            return SingleReplyRead(run: operation.run) { writer in
                if let n = Int32(exactly: operation.n) {
                    writer.append("n", int32: n)
                } else {
                    writer.append("n", int64: operation.n)
                }
            }
        }
    }

    private static func distinct(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        let namespace = try context.namespace()
        guard let key = context.body["key"] else {
            throw ServerError(.missingField, "BSON field 'distinct.key' is missing but a required field")
        }
        guard key.asString != nil else { throw wrongType("distinct.key", key, "string") }
        return try SingleReplyRead.start(context) { context, point in
            let operation = try DistinctOperation(
                context.node.data, namespace, context.body, context: context.queryContext(), at: point)
            return SingleReplyRead(run: operation.run) { writer in
                writer.array("values") { for value in operation.values { $0.append(value) } }
            }
        }
    }
}
