internal import BSON
internal import Core
internal import Data
internal import Query

/// `findAndModify`: changes or removes one document and answers with it.
enum FindAndModifyCommand {
    static func add(to table: inout CommandTable) {
        table.add(
            Command(
                "findAndModify", [.write, .retryable], help: "changes or removes one document and answers with it",
                run: run),
            aliases: ["findandmodify"])
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        try context.checkFields {
            switch $0 {
            case "query", "update", "remove", "new", "upsert", "fields", "sort", "hint", "arrayFilters", "collation",
                "let",
                "bypassDocumentValidation":
                true
            default: false
            }
        }
        try context.checkWritable()
        let namespace = try context.namespace()
        let concern = try context.writeConcern()
        if StatementCommand.isPoint(context.body["query"]), context.body["update"]?.type != .array,
            context.body.byteCount <= Limits.shortWriteBytes
        {
            let before = context.node.lastOpTime
            let operation = try open(context, namespace)
            _ = try operation.run(try context.writeContext(), until: .distantFuture)
            operation.writeReply(to: context.writer)
            let after = context.node.lastOpTime
            return context.finishWrite(after == before ? nil : after, concern)
        }
        return .later { context in
            let operation = try open(context, namespace)
            while case .yield = try operation.run(
                try context.writeContext(), until: context.runtime.loopSliceEnd)
            {
                try await context.awaitNextSlice()
            }
            operation.writeReply(to: context.writer)
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    private static func open(_ context: CommandContext, _ namespace: Namespace) throws -> FindAndModifyOperation {
        try FindAndModifyOperation(
            context.node.data, namespace, context.body, context: try context.queryContext(), id: context.statementID(0))
    }
}
