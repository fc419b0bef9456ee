internal import BSON
internal import Core
internal import Data
internal import Frontend

/// Documents of one reply, gathered over one or more slices of the loop.
final class Batch {
    private let buffer = ByteBuffer(capacity: 4096)
    private var array: ArrayWriter
    private var isFinished = false

    init() { array = ArrayWriter(startingIn: buffer) }

    var count: Int { array.count }
    var byteCount: Int { buffer.count }

    /// Adds what the source gives in one slice.
    func fill(from source: any BatchSource, limit: Int, deadline: Instant) throws -> CursorProgress {
        try source.next(
            into: &array, maxDocuments: limit - array.count, maxBytes: Limits.cursorBatchBytesMax - buffer.count,
            deadline: deadline)
    }

    /// Writes the documents as an array field.
    func write(_ key: StaticString, to writer: DocumentWriter, _ node: Node) {
        node.data.work.returned &+= Int64(count)
        if !isFinished {
            array.writer.finish()
            isFinished = true
        }
        writer.append(key, array: DocumentView(base: UnsafeRawPointer(buffer.base)))
    }
}

/// How batches of cursors are filled and sent.
enum Batches {
    /// Writes the reply if the first batch is complete within one slice; false when it is not, with the reply as before
    /// and what was found kept by the cursor.
    static func fillFirst(_ context: CommandContext, _ cursor: FindCursor, point: ReadPoint = .latest) throws -> Bool {
        // What waits for data answers from a task.
        guard !cursor.isTailable else { return false }
        do {
            let batch = Batch()
            let progress = try batch.fill(
                from: cursor.source, limit: cursor.firstBatchSize, deadline: context.runtime.loopSliceEnd)
            cursor.partial = batch
            guard progress != .yield else { return false }
            try writeFirst(context, cursor, batch, progress, point: point)
            return true
        } catch {
            cursor.source.close()
            throw error
        }
    }

    /// Fills the first batch over as many slices as it takes, and sends it.
    static func sendFirst(
        _ context: CommandContext, _ cursor: FindCursor, point: ReadPoint, _ concern: ReadConcern
    ) async throws {
        let batch = cursor.partial ?? Batch()
        cursor.partial = nil
        cursor.isLinearizable = concern.level == .linearizable
        do {
            let progress = try await fill(
                batch, from: cursor.source, limit: cursor.firstBatchSize, isLinearizable: cursor.isLinearizable, context
            )
            try writeFirst(context, cursor, batch, progress, point: concern.level == .snapshot ? point : .latest)
        } catch {
            cursor.source.close()
            throw error
        }
    }

    /// Fills a batch in slices, letting the loop run between them. A linearizable one is confirmed before it is handed
    /// out, later batches of a cursor as the first.
    static func fill(
        _ batch: Batch, from source: any BatchSource, limit: Int, isLinearizable: Bool = false,
        _ context: CommandContext
    ) async throws -> CursorProgress {
        let term = context.node.role.term
        if isLinearizable { try context.node.role.checkLinearizable() }
        while true {
            let progress = try batch.fill(
                from: source, limit: limit, deadline: context.runtime.loopSliceEnd)
            guard progress == .yield else {
                // Nothing found promises nothing; and the no-op that confirms would wake the one who waits for data.
                if isLinearizable, progress != .waiting || batch.count > 0 {
                    try await context.node.role.confirmLinearizable(since: term, deadline: context.deadline)
                }
                return progress
            }
            try await context.awaitNextReadSlice()
        }
    }

    /// Writes the reply of a `find` or `aggregate`, and keeps the cursor when there is more to come.
    static func writeFirst(
        _ context: CommandContext, _ cursor: FindCursor, _ batch: Batch, _ progress: CursorProgress,
        point: ReadPoint = .latest
    ) throws {
        var id: Int64 = 0
        let isOpen = progress != .exhausted && !cursor.isSingleBatch
        if isOpen {
            let entry = try context.frontend.cursors.add(
                cursor.source, namespace: cursor.namespace.fullName, session: context.arguments.sessionID,
                isTailable: cursor.isTailable, awaitsData: cursor.awaitsData, isLinearizable: cursor.isLinearizable)
            entry.staysIdle = context.body["noCursorTimeout"]?.isTruthy ?? false
            if context.deadline < .distantFuture { entry.timeLeft = context.deadline - context.runtime.now }
            id = entry.id
            context.profiled?.opened(entry, by: context.body)
        } else {
            cursor.source.close()
            context.profiled?.isCursorExhausted = true
        }
        context.writer.document("cursor") { writer in
            batch.write("firstBatch", to: writer, context.node)
            writer.append("id", int64: id)
            writer.append("ns", string: cursor.namespace.fullName)
            if case .at(let time) = point { writer.append("atClusterTime", timestamp: time) }
        }
    }
}
