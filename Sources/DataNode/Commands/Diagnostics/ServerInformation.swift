internal import BSON
internal import Core
internal import Data
internal import Frontend

/// What the server is: version, command line, host, commands, connections.
enum ServerInformation {
    private static func getLog(_ context: CommandContext) throws -> CommandOutcome {
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

    static func add(to table: inout CommandSet) {
        table.add(Command("ping", [.stable], .empty, help: "answers") { _ in .done })
        table.add(
            Command("buildInfo", [.legacyQuery], .empty, help: "the version") { context in
                appendBuildInfo(to: context.writer)
                return .done
            }, aliases: ["buildinfo"])
        table.add(
            Command("getCmdLineOpts", [.adminOnly], .empty, help: "the command line, as given and as understood") {
                context in
                appendCommandLine(to: context.writer, context.node)
                return .done
            })
        table.add(
            Command("hostInfo", .empty, help: "the machine") { context in
                appendHostInfo(to: context.writer, context.node)
                return .done
            })
        table.add(
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
            })
        table.add(
            Command("whatsmyuri", .empty, help: "the address of this connection's other side") { context in
                context.writer.append("you", string: context.connection.connection.peerDescription)
                return .done
            })
        table.add(
            Command("connectionStatus", .connectionStatus, help: "who is logged in on this connection") { context in
                let showsPrivileges = context.body["showPrivileges"]?.isTruthy ?? false
                context.writer.document("authInfo") {
                    $0.array("authenticatedUsers") { _ in }
                    $0.array("authenticatedUserRoles") { _ in }
                    if showsPrivileges { $0.array("authenticatedUserPrivileges") { _ in } }
                }
                return .done
            })
        table.add(
            Command("getLog", [.adminOnly], .empty, help: "the last lines of the log", run: getLog))
        table.add(
            Command(
                "lockInfo", [.adminOnly], .empty,
                help: "locks that are held: none, because a node is one loop and has none"
            ) { context in
                context.writer.array("lockInfo") { _ in }
                return .done
            })
        table.add(
            Command("connPoolStats", .empty, help: "connections to other members") {
                context in
                appendPeerConnections(to: context.writer, context.node)
                return .done
            })
        table.add(
            Command("features", .features, help: "features of the machine") { context in
                context.writer.append("js" as StaticString, bool: false)
                return .done
            })
        table.add(
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
            })
        table.add(
            Command("getDiagnosticData", [.adminOnly], .empty, help: "the status that monitors collect") { context in
                context.writer.document("data") { data in
                    data.append("start", dateTime: context.runtime.wallClock.milliseconds)
                    data.document("serverStatus") { ServerStatus.append(to: $0, context.node) }
                    data.append("end", dateTime: context.runtime.wallClock.milliseconds)
                }
                return .done
            })
    }

    private static func appendPeerConnections(to writer: DocumentWriter, _ node: Node) {
        let hosts = node.replication?.peerConnections.byHost ?? []
        var total = PeerConnections.Statistics()
        for (_, statistics) in hosts {
            total.inUse += statistics.inUse
            total.available += statistics.available
            total.created += statistics.created
        }
        writer.append("numClientConnections", int32: 0)
        writer.append("numAScopedConnections", int32: 0)
        writer.append("totalInUse", int32: Int32(clamping: total.inUse))
        writer.append("totalAvailable", int32: Int32(clamping: total.available))
        writer.append("totalCreated", int32: Int32(clamping: total.created))
        writer.append("totalRefreshing", int32: 0)
        // Each member has connections of its own: there is no pool.
        writer.document("pools") { _ in }
        writer.document("hosts") { writer in
            for (host, statistics) in hosts { writer.document(host) { statistics.write(to: $0) } }
        }
        writer.document("replicaSets") { _ in }
    }

    static func appendBuildInfo(to writer: DocumentWriter) {
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

    private static func appendCommandLine(to writer: DocumentWriter, _ node: Node) {
        writer.array("argv") { for argument in node.options.arguments { $0.append(string: argument) } }
        writer.document("parsed") {
            $0.document("net") { $0.append("port", int32: Int32(truncatingIfNeeded: node.endpoint.port)) }
            if let name = node.options.replicaSetName {
                $0.document("replication") { $0.append("replSetName", string: name) }
            }
            $0.document("storage") { $0.append("engine", string: node.options.storageName) }
            if node.options.enableTestCommands {
                $0.document("setParameter") { $0.append("enableTestCommands", string: "1") }
            }
        }
    }

    private static func appendHostInfo(to writer: DocumentWriter, _ node: Node) {
        writer.document("system") {
            $0.append("currentTime", dateTime: node.runtime.wallClock.milliseconds)
            $0.append("hostname", string: node.options.hostname)
            $0.append("cpuAddrSize", int32: 64)
            $0.append("memSizeMB", int64: node.options.memoryBytes >> 20)
            $0.append("numCores", int32: Int32(truncatingIfNeeded: node.options.coreCount))
        }
        writer.document("os") {
            $0.append("type", string: "Linux")
            $0.append("name", string: "Linux")
        }
        writer.document("extra") { _ in }
    }
}
