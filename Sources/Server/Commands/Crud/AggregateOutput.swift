internal import BSON
internal import Core
internal import Data

/// Runs a pipeline that ends in `$out` or `$merge`.
enum AggregateOutput {
    static func run(_ context: CommandContext, _ stage: OutputStage) throws -> CommandOutcome {
        try checkWritable(stage, context)
        let concern = try context.writeConcern()
        let readConcern = try context.readConcern()
        guard readConcern.level != .linearizable, readConcern.level != .snapshot else {
            throw ServerError(
                .invalidOptions,
                "$out and $merge cannot be used with a '\(readConcern.level.rawValue)' read concern level")
        }
        return .later { context in
            let point = try await context.awaitReadPoint(readConcern)
            try checkWritable(stage, context)
            let cursor = try AggregateCommand.open(context, point)
            defer { cursor.source.close() }
            let output = try OutputWriter(stage, context)
            do {
                try await write(cursor.source, to: output, stage, context)
            } catch {
                if (try? checkWritable(stage, context)) != nil { output.abandon(try context.writeContext()) }
                throw error
            }
            context.writer.document("cursor") { writer in
                writer.array("firstBatch") { _ in }
                writer.append("id", int64: 0)
                writer.append("ns", string: cursor.namespace.fullName)
            }
            try await context.awaitWriteConcern(context.node.lastOpTime, concern)
        }
    }

    private static func checkWritable(_ stage: OutputStage, _ context: CommandContext) throws {
        var database = stage.target.database
        try database.withUTF8 { try context.node.role.checkWritable(UnsafeRawBufferPointer($0)) }
    }

    private static func awaitNextSlice(_ stage: OutputStage, _ context: CommandContext) async throws {
        try await context.awaitNextSlice()
        try checkWritable(stage, context)
    }

    private static func write(
        _ source: any BatchSource, to output: OutputWriter, _ stage: OutputStage, _ context: CommandContext
    ) async throws {
        let buffer = ByteBuffer(capacity: 4096)
        while true {
            buffer.removeAll(keeping: 1 << 20)
            var array = ArrayWriter(startingIn: buffer)
            let progress = try source.next(
                into: &array, maxDocuments: Limits.shortWriteStatements, maxBytes: Limits.cursorBatchBytesMax,
                deadline: context.runtime.loopSliceEnd)
            array.finish()
            for element in DocumentView(base: UnsafeRawPointer(buffer.base)) {
                guard let document = element.value.asDocument else { continue }
                try output.write(document, try context.writeContext())
                guard context.node.isMajorityBehind else { continue }
                try await awaitNextSlice(stage, context)
            }
            if progress == .exhausted { return try output.finish(try context.writeContext()) }
            try await awaitNextSlice(stage, context)
        }
    }
}
