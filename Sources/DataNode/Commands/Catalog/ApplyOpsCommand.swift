internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// `applyOps`, as restores use it: operations in the form of oplog entries, one after the other, each logged by itself.
enum ApplyOpsCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "applyOps", [.write, .adminOnly], .applyOps, help: "applies operations as an oplog has them", run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        guard let list = context.argument.asArray else { throw wrongType("applyOps", context.argument, "array") }
        for element in list where element.value.type != .document {
            throw wrongType("applyOps.\(element.key.string)", element.value, "object")
        }
        try context.checkWritable()
        let concern = try context.writeConcern()
        return .later {
            var results: [Value] = []
            var sliceEnd = context.runtime.loopSliceEnd
            guard let list = context.argument.asArray else { return }
            let validation = Validation(EvaluationBudget(context.runtime, deadline: context.deadline))
            for element in list {
                guard let operation = element.value.asDocument else { continue }
                do {
                    try await apply(operation, validation, context)
                    results.append(true)
                } catch let error as ServerError where !error.code.concernsCommand {
                    results.append(false)
                    throw ServerError(
                        error.code, error.message, labels: error.labels,
                        details: [
                            "applied": .int32(Int32(clamping: results.count)),
                            "results": .array(Document(array: results)),
                        ])
                }
                if context.isSliceOver(try context.writeContext(), sliceEnd) {
                    try await context.awaitNextSlice()
                    sliceEnd = context.runtime.loopSliceEnd
                }
            }
            context.writer.append("applied", int32: Int32(clamping: results.count))
            context.writer.array("results") { array in for result in results { array.append(result) } }
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    private static func apply(
        _ operation: DocumentView, _ validation: Validation, _ context: CommandContext
    ) async throws {
        let rest = try await context.inWriteSlices { write, end -> UnfinishedOperation?? in
            var write = write
            write.validation = validation
            validation.beginSlice(until: end)
            do {
                return try context.node.data.applyOperation(operation, write)
            } catch let error as ServerError where error.isInterruption {
                return nil
            }
        }
        switch rest {
        case .indexBuild(let build): try await IndexCommands.finish(build, context)
        case .trim(let collection): try await CappedCommands.trim(collection, context)
        case nil: break
        }
    }

    private typealias UnfinishedOperation = DataStore.UnfinishedOperation
}
