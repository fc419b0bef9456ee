import BSON
import Core
import Frontend
import Sharding
import Wire

/// One command of a router in flight.
final class RouterContext: RequestContext {
    // The table that holds the command is the router's.
    private unowned(unsafe) let owner: Router
    private let handler: (RouterContext) throws -> CommandOutcome

    init(_ call: consuming Call, _ command: RouterCommand, _ router: Router) {
        owner = router
        handler = command.run
        super.init(consume call, command)
    }

    var router: Router { owner }
    var catalog: ClusterCatalog { owner.catalog }

    override func run() throws -> CommandOutcome { try handler(self) }

    // MARK: What decides where it goes

    /// The client's read preference.
    /// - Throws: `FailedToParse`, `BadValue`.
    func readPreference() throws(ServerError) -> ReadPreference {
        guard let view = arguments.readPreference else { return .primary }
        return try ReadPreference(view)
    }

    /// Whether it may be carried out twice.
    var isRepeatable: Bool { !command.traits.contains(.write) || arguments.transactionNumber != nil }

    // MARK: Passing it on

    /// The client's request as it goes on to a member: its bytes, with what the router has to say behind them.
    /// - Parameters:
    ///   - versions: what the router believes of the shard's data.
    ///   - body: in place of the client's own document.
    ///   - keepsSequences: whether its document sequences go along.
    ///   - sequence: one that goes along in their place.
    func forwarded(
        _ versions: RoutedRequest, access: ServerSelection.Operation, body other: Document? = nil,
        keepsSequences: Bool = true, sequence: (name: StaticString, documents: ByteBuffer, count: Int)? = nil
    ) throws(ServerError) -> RemoteRequest {
        var versions = versions
        let clock = router.clock
        if !versions.isUnversioned {
            if clock.configTime != .zero { versions.configTime = clock.configTime }
            if clock.topologyTime != .zero { versions.topologyTime = clock.topologyTime }
        }
        var request = RemoteRequest(access: access, deadline: deadline) { [self, versions] output, id in
            let message = MessageWriter(message: output, requestID: id, responseTo: 0)
            if let other {
                other.withView { RouterContext.append($0, to: message.document) }
                if other["$db"] == nil { message.document.append("$db", string: database) }
            } else {
                RouterContext.append(body, to: message.document)
            }
            if clock.time != .zero { message.document.appendSeen(clock.time) }
            versions.append(to: message.document)
            if let sequence {
                message.finish(
                    with: DocumentSequence(
                        identifier: KeyView(sequence.name), bytes: sequence.documents.bytes, count: sequence.count))
            } else if keepsSequences {
                message.finish(with: self.request.firstSequence, self.request.secondSequence)
            } else {
                message.finish()
            }
        }
        if access == .read { request.preference = try readPreference() }
        request.isRepeatable = isRepeatable
        if deadline < .distantFuture {
            // The member has the same time limit, and says so itself, unless it is gone.
            request.timeout = max(deadline - runtime.now, .zero) + Limits.routerReplyGrace
        }
        return request
    }

    private static func append(_ body: DocumentView, to writer: DocumentWriter) {
        for field in body where !(field.key == "$clusterTime") { writer.append(field.key, field.value) }
    }

    /// What a command of the router's own on the client's behalf carries along: session, concerns, limits.
    func appendCommon(to writer: DocumentWriter, writeConcern: Bool = false, readConcern: Bool = false) {
        for field in body.dropFirst() {
            switch field.key {
            case "lsid", "comment", "$readPreference", "apiVersion", "apiStrict", "apiDeprecationErrors":
                writer.append(field.key, field.value)
            case "writeConcern" where writeConcern: writer.append(field.key, field.value)
            case "readConcern" where readConcern: writer.append(field.key, field.value)
            case "maxTimeMS" where !(command.name.isGetMore): writer.append(field.key, field.value)
            default: continue
            }
        }
    }

    // MARK: Answering

    /// Passes a reply on. A cursor in it is kept, and the client gets the router's number for it.
    func relay(_ reply: RemoteReply, keeping cursor: (Int64) throws(ServerError) -> Int64 = { $0 }) throws(ServerError)
    {
        isRelayed = true
        relayedTime = reply.body.withView { $0["operationTime"]?.asTimestamp }
        let result = reply.body.withView { view in
            Result { () throws(ServerError) in
                for field in view where !RouterContext.isGossip(field.key) {
                    writer.append(field.key, field.value)
                    guard field.key == "cursor", let inner = field.value.asDocument, let id = inner["id"],
                        let remote = id.asInt64, remote != 0
                    else { continue }
                    let place = writer.buffer.count - field.value.byteCount + (id.pointer - field.value.pointer)
                    writer.buffer.set(littleEndian: try cursor(remote), at: place)
                }
            }
        }
        try result.get()
    }

    static func isGossip(_ key: KeyView) -> Bool {
        switch key {
        case "$clusterTime", "operationTime", "$configTime", "$topologyTime", "topologyVersion", "sortKeys": true
        default: false
        }
    }

    /// Notes when what a reply tells of was written or read: the client's session goes on from there.
    func note(_ reply: RemoteReply) {
        guard let time = reply.body.withView({ $0["operationTime"]?.asTimestamp }) else { return }
        relayedTime = max(relayedTime ?? .zero, time)
    }
}

extension StaticString {
    var isGetMore: Bool { KeyView(self) == "getMore" }
}

extension ReadPreference {
    /// Reads `{mode, tags, maxStalenessSeconds}`.
    /// - Throws: `FailedToParse`, `BadValue`.
    init(_ view: DocumentView) throws(ServerError) {
        guard let name = view["mode"]?.asString, let mode = Mode(rawValue: name) else {
            throw ServerError(
                .failedToParse, "$readPreference has no mode that is known: \(view["mode"]?.asString ?? "none")")
        }
        self.init(mode)
        for element in view["tags"]?.asArray ?? .empty {
            guard let set = element.value.asDocument else {
                throw ServerError(.failedToParse, "the tags of $readPreference must be documents")
            }
            var tags: [String: String] = [:]
            for tag in set {
                guard let value = tag.value.asString else {
                    throw ServerError(.failedToParse, "the tag '\(tag.key.string)' of $readPreference must be a string")
                }
                tags[tag.key.string] = value
            }
            tagSets.append(tags)
        }
        if let bound = view["maxStalenessSeconds"]?.asInteger, bound > 0 { maxStalenessSeconds = Int(clamping: bound) }
    }
}

/// A command in the table of one router.
final class RouterCommand: RegisteredCommand {
    // The table that holds this is the router's.
    private unowned(unsafe) let router: Router
    let run: (RouterContext) throws -> CommandOutcome

    init(_ command: Command<RouterContext>, as name: StaticString, of router: Router) {
        self.router = router
        run = command.run
        super.init(name, command.traits, command.fields, help: command.help)
    }

    override func makeContext(_ call: consuming RequestContext.Call) -> RequestContext {
        RouterContext(consume call, self, router)
    }
}
