internal import BSON
internal import Core
internal import Wire

/// `hello` and its older names: who the node is, what it can do; waiting and streaming on request.
enum HelloCommand {
    static var all: [Command<RequestContext>] {
        [
            Command("hello", [.handshake, .stable], .hello, help: "who this node is, and its state in its replica set")
            {
                try run($0, legacy: false)
            },
            Command("isMaster", [.handshake], .hello, help: "the older name of hello", aliases: ["ismaster"]) {
                try run($0, legacy: true)
            },
        ]
    }

    /// The arguments of a `hello` that waits for a change.
    private struct Await {
        let processID: ObjectID
        let counter: Int64
        let time: Duration
    }

    private static func run(_ context: RequestContext, legacy: Bool) throws(ServerError) -> CommandOutcome {
        let connection = context.connection
        try takeMetadata(context.body["client"], connection)
        try introduce(context)
        if let offered = context.body["compression"] { try connection.negotiate(offered) }
        connection.saidHello = true
        if !legacy || context.body["helloOk"]?.isTruthy == true { connection.speaksHello = true }
        guard let wait = try parseAwait(context.body) else {
            append(to: context.writer, context, legacy: legacy)
            return .done
        }
        let frontend = context.frontend
        if context.request.allowsExhaust {
            return .later { try await stream(context, wait, legacy: legacy) }
        }
        guard frontend.topology.isCurrent(processID: wait.processID, counter: wait.counter) else {
            append(to: context.writer, context, legacy: legacy)
            return .done
        }
        return .later {
            await frontend.topology.wait(
                beyond: wait.counter, until: frontend.runtime.now + wait.time, on: context.connection)
            append(to: context.writer, context, legacy: legacy)
        }
    }

    /// Keeps answering one request: at once when the client's version is old, then at each change and at each time
    /// limit, until the connection closes. Every reply but the last, which the dispatcher sends, says that more will
    /// come.
    private static func stream(_ first: RequestContext, _ wait: Await, legacy: Bool) async throws {
        let frontend = first.frontend
        let connection = first.connection
        var seen = wait.counter
        if frontend.topology.isCurrent(processID: wait.processID, counter: wait.counter) {
            await frontend.topology.wait(beyond: seen, until: frontend.runtime.now + wait.time, on: connection)
        }
        var isFirst = true
        while !connection.isAbandoned, !frontend.isStopped {
            // The first reply has met the fail points with its request.
            if !isFirst { try await frontend.checkStream(first) }
            isFirst = false
            if connection.isClosed { break }
            append(to: first.writer, first, legacy: legacy)
            first.stream()
            seen = frontend.topology.counter
            await frontend.topology.wait(beyond: seen, until: frontend.runtime.now + wait.time, on: connection)
        }
        append(to: first.writer, first, legacy: legacy)
    }

    private static func parseAwait(_ body: DocumentView) throws(ServerError) -> Await? {
        let version = body["topologyVersion"]
        let limit = body["maxAwaitTimeMS"]
        guard version != nil || limit != nil else { return nil }
        guard let version, let limit else {
            throw ServerError(
                .badValue, "A request with a 'topologyVersion' must include 'maxAwaitTimeMS', and the other way round")
        }
        guard let view = version.asDocument, let processID = view["processId"]?.asObjectID,
            let counter = view["counter"]?.asInteger, counter >= 0
        else {
            throw ServerError(
                .typeMismatch, "'topologyVersion' must be {processId: ObjectId, counter: non-negative long}")
        }
        guard let millis = limit.asInteger, millis >= 0 else {
            throw ServerError(.badValue, "'maxAwaitTimeMS' must be a non-negative integer")
        }
        return Await(processID: processID, counter: counter, time: min(.milliseconds(millis), Limits.awaitMax))
    }

    /// The internal handshake: a member of this set, or a node of its sharded cluster, says who it is. It guards
    /// against mistakes, not against attacks: that takes authentication between members.
    private static func introduce(_ context: RequestContext) throws(ServerError) {
        guard context.body["internalMember"] != nil || context.body["internalCluster"] != nil else { return }
        do {
            context.connection.peer = try context.frontend.service.identify(context.body)
        } catch {
            // One that cannot be read is none.
            if error.code != .failedToParse { context.connection.introductionError = error }
            throw error
        }
    }

    private static func takeMetadata(_ value: ValueView?, _ connection: ClientConnection) throws(ServerError) {
        guard let value else { return }
        guard let view = value.asDocument else { throw wrongType("client", value, "object") }
        guard view.byteCount <= Limits.clientMetadataBytesMax else {
            throw ServerError(
                .clientMetadataDocumentTooLarge,
                "The client metadata document must be less then or equal to \(Limits.clientMetadataBytesMax) bytes")
        }
        // A driver sends it once; a second one is kept out, as MongoDB does, without an error.
        if connection.clientMetadata == nil { connection.clientMetadata = view.document }
    }

    private static func append(to writer: DocumentWriter, _ context: RequestContext, legacy: Bool) {
        let frontend = context.frontend
        if context.body["helloOk"]?.isTruthy == true { writer.append("helloOk", bool: true) }
        frontend.service.appendHello(to: writer, legacy: legacy)
        frontend.topology.append(to: writer)
        writer.append("maxBsonObjectSize", int32: Int32(Limits.documentBytesMax))
        writer.append("maxMessageSizeBytes", int32: Int32(Limits.messageBytesMax))
        writer.append("maxWriteBatchSize", int32: Int32(Limits.writeBatchSizeMax))
        writer.append("localTime", dateTime: frontend.runtime.wallClock.milliseconds)
        writer.append("logicalSessionTimeoutMinutes", int32: ServerVersion.sessionTimeoutMinutes)
        writer.append("connectionId", int32: Int32(truncatingIfNeeded: context.connection.id))
        writer.append("minWireVersion", int32: ServerVersion.wireMin)
        writer.append("maxWireVersion", int32: ServerVersion.wireMax)
        writer.append("readOnly", bool: false)
        if context.body["compression"] != nil {
            writer.array("compression") {
                for compressor in context.connection.compressors { $0.append(string: compressor.name) }
            }
        }
    }
}
