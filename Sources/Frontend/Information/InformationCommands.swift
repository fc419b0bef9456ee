package import BSON
internal import Core

/// What every server is, and its connections: version, commands, log. Nothing in it depends on the service.
package enum InformationCommands {
    static var all: [Command<RequestContext>] {
        [
            Command("ping", [.stable], .empty, help: "answers") { _ in .done },
            Command("buildInfo", [.legacyQuery], .empty, help: "the version", aliases: ["buildinfo"]) { context in
                appendBuildInfo(to: context.writer)
                return .done
            },
            Command("listCommands", .empty, help: "all commands") { context in
                let commands = context.frontend.commands.commands.sorted { "\($0.name)" < "\($1.name)" }
                context.writer.document("commands") { writer in
                    for command in commands {
                        writer.document("\(command.name)") {
                            $0.append("help", string: command.help)
                            $0.append("adminOnly", bool: command.traits.contains(.adminOnly))
                        }
                    }
                }
                return .done
            },
            Command("whatsmyuri", .empty, help: "the address of this connection's other side") { context in
                context.writer.append("you", string: context.connection.connection.peerDescription)
                return .done
            },
            Command("connectionStatus", .connectionStatus, help: "who is logged in on this connection") { context in
                let showsPrivileges = context.body["showPrivileges"]?.isTruthy ?? false
                context.writer.document("authInfo") {
                    $0.array("authenticatedUsers") { _ in }
                    $0.array("authenticatedUserRoles") { _ in }
                    if showsPrivileges { $0.array("authenticatedUserPrivileges") { _ in } }
                }
                return .done
            },
            Command("getLog", [.adminOnly], .empty, help: "the last lines of the log", run: getLog),
            Command(
                "lockInfo", [.adminOnly], .empty,
                help: "locks that are held: none, because a node is one loop and has none"
            ) { context in
                context.writer.array("lockInfo") { _ in }
                return .done
            },
            Command("features", .features, help: "features of the machine") { context in
                context.writer.append("js" as StaticString, bool: false)
                return .done
            },
            Command(
                "logRotate", [.adminOnly], .empty,
                help: "begins a new log: there is none to rotate, it is standard error"
            ) { context in
                guard let target = context.argument.asString ?? (context.argument.isTruthy ? "all" : nil) else {
                    throw wrongType("logRotate", context.argument, "string")
                }
                guard target == "all" || target == "server" else {
                    throw ServerError(.noSuchKey, "Unknown log type '\(target)' for rotation")
                }
                context.runtime.log.log(.info, "node", "log rotation asked for")
                return .done
            },
        ]
    }

    private static func getLog(_ context: RequestContext) throws -> CommandOutcome {
        guard let which = context.argument.asString else { throw wrongType("getLog", context.argument, "string") }
        let log = context.runtime.log as? any RecentLogLines
        let lines: [String]
        switch which {
        case "*":
            context.writer.array("names") { for name in ["global", "startupWarnings"] { $0.append(.string(name)) } }
            return .done
        case "global": lines = log?.recentLines ?? []
        case "startupWarnings": lines = log?.startupWarnings ?? []
        default: throw ServerError(.operationFailed, "No log named '\(which)'")
        }
        let written = which == "global" ? log?.linesWritten ?? 0 : Int64(lines.count)
        context.writer.append("totalLinesWritten", int32: Int32(clamping: written))
        context.writer.array("log") { for line in lines { $0.append(.string(line)) } }
        return .done
    }

    /// Writes what `buildInfo` says.
    package static func appendBuildInfo(to writer: DocumentWriter) {
        writer.append("version", string: ServerVersion.mongoDB)
        writer.append("gitVersion", string: "quorate-\(ServerVersion.quorate)")
        writer.append("quorateVersion", string: ServerVersion.quorate)
        writer.array("modules") { _ in }
        writer.append("allocator", string: "system")
        writer.append("javascriptEngine", string: "none")
        writer.append("sysInfo", string: "deprecated")
        writer.array("versionArray") { for part in ServerVersion.mongoDBParts { $0.append(.int32(part)) } }
        writer.document("openssl") { $0.append("running", string: "disabled") }
        writer.document("buildEnvironment") { $0.append("target_os", string: "linux") }
        writer.append("bits", int32: 64)
        writer.append("debug", bool: false)
        writer.append("maxBsonObjectSize", int32: Int32(Limits.documentBytesMax))
        writer.array("storageEngines") {
            $0.append(string: "memory")
            $0.append(string: "file")
        }
    }
}
