internal import BSON
internal import Core
internal import Data
internal import Frontend

/// The documents of one reply, gathered over one or more slices of the loop, where they are sent from: `cursor` with an
/// array in it, in the reply itself. Nothing else is written to the reply until the batch is finished.
final class Batch {
    private let context: CommandContext
    /// Where both begin, from the start of the reply's document: that moves when the command is put off.
    private let cursorOffset: Int
    private let arrayOffset: Int
    private var array: ArrayWriter

    /// Begins a batch of that name: `firstBatch`, `nextBatch`.
    init(_ name: StaticString, _ context: CommandContext) {
        self.context = context
        let reply = context.writer
        let cursor = reply.beginDocument("cursor")
        array = cursor.beginArray(name)
        cursorOffset = cursor.start - reply.start
        arrayOffset = array.writer.start - reply.start
    }

    var count: Int { array.count }
    /// Of the array, so far.
    var byteCount: Int { context.writer.buffer.count - context.writer.start - arrayOffset }

    /// Adds what the source gives in one slice.
    func fill(from source: any BatchSource, limit: Int, deadline: Instant) throws -> CursorProgress {
        followReply()
        return try source.next(
            into: &array, maxDocuments: limit - array.count, maxBytes: Limits.cursorBatchBytesMax - byteCount,
            deadline: deadline)
    }

    /// Fills the batch in slices, letting the loop run between them. A linearizable one is confirmed before it is
    /// handed out, later batches of a cursor as the first.
    func fill(from source: any BatchSource, limit: Int, isLinearizable: Bool) async throws -> CursorProgress {
        var progress = CursorProgress.yield
        try await context.confirming(isLinearizable) {
            progress = try await context.inReadSlices { end in
                let progress = try fill(from: source, limit: limit, deadline: end)
                return progress == .yield ? nil : progress
            }
            return tells(progress)
        }
        return progress
    }

    /// Nothing found promises nothing; and the no-op that confirms would wake the one who waits for data.
    func tells(_ progress: CursorProgress) -> Bool { progress != .waiting || count > 0 }

    /// Ends the batch.
    /// - Parameters:
    ///   - id: the cursor's; 0 when there is no more to come.
    ///   - time: that of a snapshot read.
    ///   - source: what the documents came from.
    func finish(id: Int64, _ namespace: String, at time: Timestamp? = nil, from source: any BatchSource) {
        context.node.data.work.returned &+= Int64(count)
        followReply()
        array.finish()
        let reply = context.writer
        let cursor = DocumentWriter(continuing: reply.start + cursorOffset, in: reply.buffer)
        cursor.append("id", int64: id)
        cursor.append("ns", string: namespace)
        if let time { cursor.append("atClusterTime", timestamp: time) }
        cursor.finish()
        source.appendBesideBatch(to: reply)
    }

    private func followReply() {
        let reply = context.writer
        guard array.writer.buffer !== reply.buffer else { return }
        array = array.moved(to: reply.start + arrayOffset, in: reply.buffer)
    }
}

/// A query that was begun: what its first batch comes from, and the cursor that is kept when there is more.
final class FirstBatch: RunningRead {
    private let context: CommandContext
    private let source: any BatchSource
    private let namespace: Namespace
    private let limit: Int
    private let isSingleBatch: Bool
    private let isTailable: Bool
    private let awaitsData: Bool
    private let isLinearizable: Bool
    private let batch: Batch
    private var progress = CursorProgress.yield
    /// A cursor has the source now.
    private var isKept = false

    init(
        _ context: CommandContext, of source: any BatchSource, _ namespace: Namespace, size: Int?,
        isSingleBatch: Bool = false, isTailable: Bool = false, awaitsData: Bool = false,
        _ concern: ReadConcern = ReadConcern()
    ) {
        self.context = context
        self.source = source
        self.namespace = namespace
        limit = size ?? Limits.cursorFirstBatchDefault
        self.isSingleBatch = isSingleBatch
        self.isTailable = isTailable
        self.awaitsData = awaitsData
        isLinearizable = concern.level == .linearizable
        batch = Batch("firstBatch", context)
    }

    func run(until deadline: Instant) throws -> WriteProgress {
        progress = try batch.fill(from: source, limit: limit, deadline: deadline)
        return progress == .yield ? .yield : .done
    }

    var tells: Bool { batch.tells(progress) }

    /// Writes the reply of a `find` or `aggregate`, and keeps the cursor when there is more to come.
    func write(at time: Timestamp?) throws {
        var id: Int64 = 0
        if progress != .exhausted, !isSingleBatch {
            let entry = try context.frontend.cursors.add(
                source, namespace: namespace.fullName, session: context.arguments.sessionID, isTailable: isTailable,
                awaitsData: awaitsData, isLinearizable: isLinearizable)
            isKept = true
            entry.openedAt = context.startedAt
            entry.staysIdle = context.body["noCursorTimeout"]?.isTruthy ?? false
            if context.deadline < .distantFuture { entry.timeLeft = context.deadline - context.runtime.now }
            id = entry.id
            context.profiled?.opened(entry, by: context.body)
        } else {
            context.profiled?.isCursorExhausted = true
        }
        batch.finish(id: id, namespace.fullName, at: time, from: source)
    }

    func close() { if !isKept { source.close() } }
}
