internal import BSON
internal import Core

/// Commands on logical sessions. A session lives by being used; these begin, end and refresh it in so many words.
enum SessionCommands {
    static func add(to table: inout CommandTable) {
        table.add(
            Command("startSession", .empty, help: "starts a logical session") { context in
                let runtime = context.runtime
                // A version 4 UUID.
                let id = SessionID(
                    high: runtime.randomNumber() & ~0xF000 | 0x4000, low: runtime.randomNumber() & ~(3 << 62) | 2 << 62)
                try context.node.sessions.touch(id, now: runtime.now)
                context.writer.document("id") { writer in
                    id.bytes.withUnsafeBytes { writer.append("id", binary: $0, subtype: 4) }
                }
                context.writer.append("timeoutMinutes", int32: ServerVersion.sessionTimeoutMinutes)
                return .done
            })
        for name in ["endSessions", "killSessions"] as [StaticString] {
            table.add(
                Command(name, .empty, help: "ends logical sessions and closes their cursors") { context in
                    for id in try ids(context) {
                        context.node.sessions.end(id)
                        context.node.cursors.closeAll(ofSession: id)
                    }
                    return .done
                })
        }
        table.add(
            Command("refreshSessions", [.stable], .empty, help: "keeps logical sessions alive") { context in
                for id in try ids(context) { try context.node.sessions.touch(id, now: context.runtime.now) }
                return .done
            })
        for name in ["killAllSessions", "killAllSessionsByPattern"] as [StaticString] {
            table.add(
                Command(name, .empty, help: "closes the cursors of all sessions") { context in
                    guard context.argument.type == .array else { throw wrongType("users", context.argument, "array") }
                    context.node.cursors.closeAllOfSessions()
                    return .done
                })
        }
    }

    private static func ids(_ context: CommandContext) throws(ServerError) -> [SessionID] {
        guard let list = context.argument.asArray else {
            throw wrongType(context.body.first!.key.string, context.argument, "array")
        }
        var ids: [SessionID] = []
        for element in list { ids.append(try SessionID(argument: element.value)) }
        return ids
    }
}
