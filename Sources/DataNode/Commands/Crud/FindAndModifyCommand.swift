internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Replication

/// `findAndModify`: changes or removes one document and answers with it.
enum FindAndModifyCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "findAndModify", [.write, .retryable, .stable], .findAndModify,
                help: "changes or removes one document and answers with it",
                run: run),
            aliases: ["findandmodify"])
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        context.node.counters.command += 1
        try context.checkWritable()
        let namespace = try context.namespace()
        let concern = try context.writeConcern()
        if StatementCommand.isPoint(context.body["query"]), context.body["update"]?.type != .array,
            context.body.byteCount <= Limits.shortWriteBytes, context.existingCollection()?.isValidated != true,
            !StatementCommand.mayCompute(context.body["fields"]),
            let outcome = try runAtOnce(context, namespace, concern)
        {
            return outcome
        }
        return .later {
            let operation = try open(context, namespace)
            let wasExecuted = try await context.inWriteSlices { write, _ in
                try context.wasExecuted(context.statementID(0), write)
            }
            try await context.inWriteSlices { try operation.run($0, until: $1).ended }
            reply(operation, wasExecuted, context)
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    /// Nil when something is not in memory: a task waits for it, and begins anew. Nothing has been written.
    private static func runAtOnce(
        _ context: CommandContext, _ namespace: Namespace, _ concern: WriteConcern
    ) throws -> CommandOutcome? {
        let before = context.node.lastOpTime
        let operation = try open(context, namespace)
        do {
            let write = try context.writeContext()
            let wasExecuted = try context.wasExecuted(context.statementID(0), write)
            guard case .done = try operation.run(write, until: .distantFuture) else { return nil }
            reply(operation, wasExecuted, context)
        } catch is StorageNotResident {
            return nil
        }
        let after = context.node.lastOpTime
        return context.finishWrite(after == before ? nil : after, concern)
    }

    private static func reply(_ operation: FindAndModifyOperation, _ wasExecuted: Bool, _ context: CommandContext) {
        operation.writeReply(to: context.writer)
        if wasExecuted { context.writer.append("retriedStmtId", int32: context.statementID(0)) }
    }

    private static func open(_ context: CommandContext, _ namespace: Namespace) throws -> FindAndModifyOperation {
        try FindAndModifyOperation(
            context.node.data, namespace, context.body, context: context.queryContext(), id: context.statementID(0))
    }
}
