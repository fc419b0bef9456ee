internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// A read that answers with one document, made at its end: `count`, `distinct`, `explain`.
struct SingleReplyRead {
    /// Goes on until done or the slice is used up.
    let run: (Instant) throws -> WriteProgress
    /// Writes the reply's fields.
    let write: (DocumentWriter) throws -> Void
    /// Gives back what the read holds.
    var close: () -> Void = {}

    typealias Open = (CommandContext, ReadPoint) throws -> SingleReplyRead

    /// Runs a read: at once when it is done within one slice, else as a task.
    static func start(_ context: CommandContext, _ open: @escaping Open) throws -> CommandOutcome {
        try context.checkReadable()
        let concern = try context.readConcern()
        if let point = try context.node.role.readPoint(concern), concern.level != .linearizable {
            let read = try openHolding(context, point, open)
            do {
                if case .done = try read.run(context.runtime.loopSliceEnd) {
                    try finish(context, read, point, concern)
                    read.close()
                    return .done
                }
            } catch let missing as StorageNotResident {
                context.node.data.note(missing)
            } catch {
                read.close()
                throw error
            }
            return .later { try await goOn(context, read, point, concern) }
        }
        return .later {
            let point = try await context.awaitReadPoint(concern)
            try context.checkReadable()
            try await goOn(context, try openHolding(context, point, open), point, concern)
        }
    }

    /// Writes the reply. With `snapshot` it says at which time it was read: a session reads there from now on.
    private static func finish(
        _ context: CommandContext, _ read: SingleReplyRead, _ point: ReadPoint, _ concern: ReadConcern
    ) throws {
        try read.write(context.writer)
        if concern.level == .snapshot, case .at(let time) = point {
            context.writer.append("atClusterTime", timestamp: time)
        }
    }

    private static func goOn(
        _ context: CommandContext, _ read: SingleReplyRead, _ point: ReadPoint, _ concern: ReadConcern
    ) async throws {
        defer { read.close() }
        let term = context.node.role.term
        try await context.inReadSlices { try read.run($0).ended }
        if concern.level == .linearizable {
            try await context.node.role.confirmLinearizable(since: term, deadline: context.deadline)
        }
        try finish(context, read, point, concern)
    }

    /// A read at an earlier time keeps what it reads from being pruned between its slices.
    private static func openHolding(_ context: CommandContext, _ point: ReadPoint, _ open: Open) throws
        -> SingleReplyRead
    {
        guard case .at(let time) = point else { return try open(context, point) }
        let versions = context.node.data.versions
        let token = try versions.openSnapshot(at: time)
        do {
            let read = try open(context, point)
            return SingleReplyRead(run: read.run, write: read.write) {
                read.close()
                versions.closeSnapshot(token)
            }
        } catch {
            versions.closeSnapshot(token)
            throw error
        }
    }
}

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
