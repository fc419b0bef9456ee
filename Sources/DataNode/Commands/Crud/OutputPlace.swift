internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Where the writes of an `$out` or `$merge` are carried out: by this member, when it takes writes to that database, or
/// by the primary, when the client let the pipeline be read here, at a secondary. Either way by ordinary commands.
final class OutputPlace {
    private let context: CommandContext
    private let role: ReplicaSetRole?
    /// The primary at the beginning; nil when the writes are this member's own.
    private let primary: (host: String, link: PeerLink)?
    private var watch: TimerToken?
    private var closing: UInt64?

    /// - Throws: `NotWritablePrimary` when this member takes no writes and was not to be read as a secondary, or knows
    ///   no primary.
    init(_ target: Namespace, _ context: CommandContext) throws {
        self.context = context
        role = context.node.replication
        guard let refusal = OutputPlace.refusal(target, context) else {
            primary = nil
            return
        }
        guard let role, OutputPlace.mayReadHere(context), let host = role.member.primaryHost else { throw refusal }
        let link = role.makeLink(to: host)
        primary = (host, link)
        closing = context.connection.onClose { link.close() }
        watchPrimary()
    }

    /// Asked before anything is read.
    static func check(_ target: Namespace, _ context: CommandContext) throws(ServerError) {
        if let refusal = refusal(target, context), !mayReadHere(context) { throw refusal }
    }

    private static func refusal(_ target: Namespace, _ context: CommandContext) -> ServerError? {
        var database = target.database
        return database.withUTF8 { name in
            do throws(ServerError) {
                try context.node.role.checkWritable(UnsafeRawBufferPointer(name))
                return nil
            } catch {
                return error
            }
        }
    }

    private static func mayReadHere(_ context: CommandContext) -> Bool { (try? context.checkReadable()) != nil }

    /// Ends waits for a primary that is none any more: nobody else would.
    private func watchPrimary() {
        watch = context.runtime.schedule(after: Limits.outputWatchInterval) { [weak self] in
            guard let self, let primary else { return }
            if role?.member.primaryHost == primary.host { watchPrimary() } else { primary.link.close() }
        }
    }

    /// The end of it.
    func close() {
        if let watch { context.runtime.cancel(watch) }
        if let closing { context.connection.forgetClose(closing) }
        primary?.link.close()
    }

    /// Carries a command out and returns its reply.
    /// - Throws: the error that the command ended with, that of its first failed statement included; a
    ///   `PrimarySteppedDown` when the primary changed on the way.
    func run(_ command: Document, database: String) async throws -> Document {
        let command = limited(command)
        let reply: Document
        if let primary {
            do {
                reply = try await primary.link.call(timeout: Limits.outputCallTimeout, database: database) { writer in
                    command.withView { for field in $0 { writer.append(field.key, field.value) } }
                }
            } catch {
                guard role?.member.primaryHost != primary.host else { throw error }
                throw ServerError(
                    .primarySteppedDown,
                    "the primary \(primary.host) changed while the results were written to it: \(error.message)")
            }
            try noteTime(reply)
        } else {
            reply = await context.node.run(command, database: database)
            context.lastWrite = context.node.lastOpTime
            if reply["ok"]?.asNumber != 1 { throw OutputPlace.error(reply) }
        }
        if let failure = reply["writeErrors"]?.asArray?.first?.asDocument { throw OutputPlace.error(failure) }
        return reply
    }

    /// The client's time limit holds for each step.
    private func limited(_ command: Document) -> Document {
        guard context.deadline != .distantFuture else { return command }
        var limited = command
        limited["maxTimeMS"] = .int64(max((context.deadline - context.runtime.now).wholeMilliseconds, 1))
        return limited
    }

    /// What the client reads next is to include what was written.
    private func noteTime(_ reply: Document) throws {
        if case .timestamp(let time)? = reply["$clusterTime"]?.asDocument?["clusterTime"] {
            try context.node.role.advanceClusterTime(to: time)
        }
        if case .timestamp(let time)? = reply["operationTime"] {
            context.lastWrite = OpTime(term: context.node.role.term, timestamp: time)
        }
    }

    private static func error(_ document: Document) -> ServerError {
        var details = document
        for field in ["ok", "errmsg", "code", "codeName", "index", "$clusterTime", "operationTime", "topologyVersion"] {
            details[field] = nil
        }
        let code = Int32(truncatingIfNeeded: document["code"]?.asInteger ?? 8)
        return ServerError(
            ErrorCode(rawValue: code), document["errmsg"]?.asString ?? "no message",
            details: details.isEmpty ? nil : details)
    }
}
