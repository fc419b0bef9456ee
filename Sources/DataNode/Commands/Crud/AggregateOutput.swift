internal import BSON
internal import Core
internal import Data
internal import Frontend

/// Runs a pipeline that ends in `$out` or `$merge`: reads here, and writes here or at the primary.
enum AggregateOutput {
    static func run(_ context: CommandContext, _ stage: OutputStage) throws -> CommandOutcome {
        try OutputPlace.check(stage.target, context)
        _ = try context.writeConcern()
        let level = try context.readConcern().level
        guard level != .linearizable, level != .snapshot else {
            throw ServerError(
                .invalidOptions, "$out and $merge cannot be used with a '\(level.rawValue)' read concern level")
        }
        let gate = try ReadGate(context)
        return .later {
            let point = try await gate.awaitPoint()
            let place = try OutputPlace(stage.target, context)
            defer { place.close() }
            let (cursor, namespace, _) = try AggregateCommand.open(context, point)
            defer { cursor.close() }
            let failure = try await write(cursor, stage, place, context)
            context.writer.document("cursor") { writer in
                writer.array("firstBatch") { _ in }
                writer.append("id", int64: 0)
                writer.append("ns", string: namespace.fullName)
            }
            if let failure {
                context.reportedWriteConcernError = true
                context.writer.append("writeConcernError", failure)
            }
        }
    }

    /// Writes all results; returns the `writeConcernError`, if there is one.
    private static func write(
        _ source: any BatchSource, _ stage: OutputStage, _ place: OutputPlace, _ context: CommandContext
    ) async throws -> Document? {
        let output = try OutputWriter(stage, place, context)
        do {
            try await output.begin()
            try await pump(source, to: output, context)
            return try await output.finish(context.arguments.writeConcern?.document)
        } catch {
            await output.abandon()
            throw error
        }
    }

    private static func pump(
        _ source: any BatchSource, to output: OutputWriter, _ context: CommandContext
    ) async throws {
        let buffer = ByteBuffer(capacity: 4096)
        while true {
            buffer.removeAll(keeping: 1 << 20)
            var array = ArrayWriter(startingIn: buffer)
            let progress = try source.next(
                into: &array, maxDocuments: Limits.outputBatchDocuments, maxBytes: Limits.outputBatchBytes,
                deadline: context.runtime.loopSliceEnd)
            array.finish()
            for element in DocumentView(base: UnsafeRawPointer(buffer.base)) {
                guard let document = element.value.asDocument else { continue }
                try await output.write(document)
            }
            if progress == .exhausted { return }
            try await context.awaitNextReadSlice()
        }
    }
}
