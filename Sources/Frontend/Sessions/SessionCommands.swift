internal import BSON
internal import Core

/// Commands on logical sessions. A session lives by being used; these begin, end and refresh it in so many words.
enum SessionCommands {
    static var all: [Command<RequestContext>] {
        [
            Command("startSession", .empty, help: "starts a logical session") { context in
                let runtime = context.runtime
                // A version 4 UUID.
                let id = SessionID(
                    high: runtime.randomNumber() & ~0xF000 | 0x4000, low: runtime.randomNumber() & ~(3 << 62) | 2 << 62)
                try context.frontend.sessions.touch(id, now: runtime.now)
                context.writer.document("id") { writer in
                    id.bytes.withUnsafeBytes { writer.append("id", binary: $0, subtype: 4) }
                }
                context.writer.append("timeoutMinutes", int32: ServerVersion.sessionTimeoutMinutes)
                return .done
            },
            Command("endSessions", [.stable], .empty, help: "ends logical sessions and closes their cursors") {
                context in
                for id in try ids(context) {
                    context.frontend.sessions.end(id)
                    context.frontend.cursors.closeAll(ofSession: id)
                }
                return .done
            },
            Command("killSessions", .empty, help: "ends the operations and closes the cursors of logical sessions") {
                context in
                let ids = try ids(context)
                kill(context) { ids.isEmpty || ids.contains($0) }
                return .done
            },
            Command("refreshSessions", [.stable], .empty, help: "keeps logical sessions alive") { context in
                for id in try ids(context) { try context.frontend.sessions.touch(id, now: context.runtime.now) }
                return .done
            },
            Command("killAllSessions", .empty, help: "ends the operations and closes the cursors of users' sessions") {
                context in
                var namesUsers = false
                for user in try documents(context) {
                    for field in ["user", "db"] as [StaticString] where user[field]?.asString == nil {
                        throw ServerError(
                            .missingField,
                            "BSON field 'KillAllSessionsByUser.\(field)' is missing or not a string")
                    }
                    namesUsers = true
                }
                // Without users all sessions are nobody's.
                kill(context) { _ in !namesUsers }
                return .done
            },
            Command(
                "killAllSessionsByPattern", .empty, help: "ends the operations and closes the cursors of some sessions"
            ) {
                context in
                let patterns = try documents(context).map { pattern throws(ServerError) in try SessionPattern(pattern) }
                kill(context) { id in patterns.isEmpty || patterns.contains { $0.matches(id) } }
                return .done
            },
        ]
    }

    private static func kill(_ context: RequestContext, where isMeant: (SessionID) -> Bool) {
        context.frontend.interruptOperations { $0.session.map(isMeant) ?? false }
        context.frontend.cursors.closeAll { $0.session.map(isMeant) ?? false }
    }

    /// The list of documents that a command's first field is, and nothing beside it.
    private static func documents(_ context: RequestContext) throws(ServerError) -> [DocumentView] {
        let name = "\(context.command.name)"
        guard let list = context.argument.asArray else {
            throw wrongType("\(name).\(name)", context.argument, "array")
        }
        var documents: [DocumentView] = []
        for element in list {
            guard let document = element.value.asDocument else {
                throw wrongType("\(name).\(name).\(element.key.string)", element.value, "object")
            }
            documents.append(document)
        }
        return documents
    }

    private static func ids(_ context: RequestContext) throws(ServerError) -> [SessionID] {
        guard let list = context.argument.asArray else {
            throw wrongType(context.body.first!.key.string, context.argument, "array")
        }
        var ids: [SessionID] = []
        for element in list { ids.append(try SessionID(argument: element.value)) }
        return ids
    }
}

/// One pattern of `killAllSessionsByPattern`: a session, the sessions of a user's digest, or those of users or roles.
struct SessionPattern {
    private var session: SessionID?
    private var isNobodys = true

    /// The digest of the name of who has none: what every session carries while there are no users.
    private static let nobody: [UInt8] = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
        0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]

    /// - Throws: `UnknownField`, `TypeMismatch`.
    init(_ view: DocumentView) throws(ServerError) {
        for element in view {
            switch element.key {
            case "lsid":
                session = try SessionID(argument: element.value)
                if let uid = element.value.asDocument?["uid"] { try take(uid, "lsid.uid") }
            case "uid": try take(element.value, "uid")
            case "users", "roles":
                guard let list = element.value.asArray else {
                    throw wrongType("KillAllSessionsByPattern.\(element.key.string)", element.value, "array")
                }
                if !list.isEmpty { isNobodys = false }
            default:
                throw ServerError(
                    .unknownField, "BSON field 'KillAllSessionsByPattern.\(element.key.string)' is an unknown field.")
            }
        }
    }

    private mutating func take(_ uid: ValueView, _ field: String) throws(ServerError) {
        guard let (_, bytes) = uid.asBinary else {
            throw wrongType("KillAllSessionsByPattern.\(field)", uid, "binData")
        }
        if !bytes.elementsEqual(Self.nobody) { isNobodys = false }
    }

    func matches(_ id: SessionID) -> Bool { isNobodys && (session == nil || session == id) }
}
