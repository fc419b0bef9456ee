import BSON
import Core
import Frontend
import Sharding

/// What the router is: command line, host, counters, parameters.
enum RouterInformation {
    static func commandLine(_ context: RouterContext) throws -> CommandOutcome {
        let router = context.router
        context.writer.array("argv") { for argument in router.options.arguments { $0.append(string: argument) } }
        context.writer.document("parsed") {
            $0.document("net") { $0.append("port", int32: Int32(truncatingIfNeeded: router.endpoint.port)) }
            $0.document("sharding") { $0.append("configDB", string: context.catalog.config.hosts) }
            if router.options.enableTestCommands {
                $0.document("setParameter") { $0.append("enableTestCommands", string: "1") }
            }
        }
        return .done
    }

    static func host(_ context: RouterContext) throws -> CommandOutcome {
        let options = context.router.options
        context.writer.document("system") {
            $0.append("currentTime", dateTime: context.runtime.wallClock.milliseconds)
            $0.append("hostname", string: options.hostname)
            $0.append("cpuAddrSize", int32: 64)
            $0.append("memSizeMB", int64: options.memoryBytes >> 20)
            $0.append("numCores", int32: Int32(truncatingIfNeeded: options.coreCount))
        }
        context.writer.document("os") {
            $0.append("type", string: "Linux")
            $0.append("name", string: "Linux")
        }
        context.writer.document("extra") { _ in }
        return .done
    }

    static func serverStatus(_ context: RouterContext) throws -> CommandOutcome {
        let unwanted = Set(context.body.dropFirst().filter { !$0.value.isTruthy }.map { $0.key.string })
        Document { append(to: $0, context.router) }.withView { sections in
            for section in sections where section.value.type != .document || !unwanted.contains(section.key.string) {
                context.writer.append(section.key, section.value)
            }
        }
        return .done
    }

    static func diagnosticData(_ context: RouterContext) throws -> CommandOutcome {
        context.writer.document("data") { data in
            data.append("start", dateTime: context.runtime.wallClock.milliseconds)
            data.document("serverStatus") { append(to: $0, context.router) }
            data.append("end", dateTime: context.runtime.wallClock.milliseconds)
        }
        return .done
    }

    private static func append(to writer: DocumentWriter, _ router: Router) {
        let frontend = router.frontend
        let runtime = router.runtime
        let uptime = runtime.now - router.startedAt
        writer.append("host", string: frontend.advertisedName)
        writer.append("version", string: ServerVersion.mongoDB)
        // As MongoDB's tools know a router.
        writer.append("process", string: "mongos")
        writer.append("pid", int64: Int64(router.options.processID))
        writer.append("uptime", double: Double(uptime.wholeMilliseconds) / 1000)
        writer.append("uptimeMillis", int64: uptime.wholeMilliseconds)
        writer.append("uptimeEstimate", int64: uptime.wholeMilliseconds / 1000)
        writer.append("localTime", dateTime: runtime.wallClock.milliseconds)
        writer.document("connections") {
            $0.append("current", int32: Int32(truncatingIfNeeded: frontend.connectionCount))
            $0.append(
                "available", int32: Int32(truncatingIfNeeded: Limits.incomingConnectionsMax - frontend.connectionCount))
            $0.append("totalCreated", int64: Int64(truncatingIfNeeded: frontend.counters.connectionsCreated))
            $0.append("active", int32: Int32(truncatingIfNeeded: frontend.operationCount + 1))
        }
        writer.document("network") {
            let counters = frontend.counters
            $0.append("bytesIn", int64: Int64(counters.bytesIn))
            $0.append("bytesOut", int64: Int64(counters.bytesOut))
            $0.append("physicalBytesIn", int64: Int64(counters.physicalBytesIn))
            $0.append("physicalBytesOut", int64: Int64(counters.bytesOut - counters.compressionSaved))
            $0.append("numRequests", int64: Int64(truncatingIfNeeded: counters.requests))
            $0.append("malformedMessages", int64: Int64(truncatingIfNeeded: counters.malformedMessages))
        }
        writer.document("opcounters") {
            $0.append("insert", int64: router.counters.insert)
            $0.append("query", int64: router.counters.query)
            $0.append("update", int64: router.counters.update)
            $0.append("delete", int64: router.counters.delete)
            $0.append("getmore", int64: router.counters.getMore)
            $0.append("command", int64: router.counters.command)
        }
        if let loop = runtime.loopStatistics {
            writer.document("eventLoop") {
                $0.append("turns", int64: Int64(truncatingIfNeeded: loop.turns))
                $0.append("longestHoldMicros", int64: loop.longestHold.wholeMicroseconds)
                $0.append("holdsOver5Millis", int64: Int64(truncatingIfNeeded: loop.longHolds))
                $0.append("holdsOver20Millis", int64: Int64(truncatingIfNeeded: loop.farTooLongHolds))
            }
        }
        writer.document("logicalSessionRecordCache") {
            $0.append("activeSessionsCount", int32: Int32(truncatingIfNeeded: frontend.sessions.count))
        }
        writer.document("shardingStatistics") {
            $0.append("countStaleConfigErrors", int64: router.counters.staleRetries)
            $0.document("numHostsTargeted") {
                $0.append("oneShard", int64: router.counters.targeted)
                $0.append("manyShards", int64: router.counters.scattered)
            }
        }
        writer.document("metrics") {
            $0.document("cursor") {
                $0.document("open") {
                    $0.append("total", int64: Int64(frontend.cursors.count))
                    $0.append("pinned", int64: Int64(frontend.cursors.pinnedCount))
                    $0.append("noTimeout", int64: Int64(frontend.cursors.staysIdleCount))
                }
                $0.append("timedOut", int64: frontend.cursors.timedOut)
            }
            $0.document("commands") { writer in
                for command in frontend.commands.commands where command.total > 0 {
                    writer.document("\(command.name)") {
                        $0.append("failed", int64: Int64(truncatingIfNeeded: command.failed))
                        $0.append("total", int64: Int64(truncatingIfNeeded: command.total))
                    }
                }
            }
        }
    }

    private static func parameters(of router: Router) -> [(name: String, value: Value)] {
        [
            ("enableTestCommands", .bool(router.options.enableTestCommands)), ("authenticationMechanisms", .array([])),
            ("quiet", false), ("logLevel", 0), ("requireApiVersion", false),
            ("cursorTimeoutMillis", .int64(router.frontend.cursors.idleMax.wholeMilliseconds)),
            ("localLogicalSessionTimeoutMinutes", .int32(ServerVersion.sessionTimeoutMinutes)),
        ]
    }

    static func getParameter(_ context: RouterContext) throws -> CommandOutcome {
        let all = parameters(of: context.router)
        let wantsAll =
            context.argument.asString == "*" || context.argument.asDocument?["allParameters"]?.isTruthy == true
        let names = Set(context.body.dropFirst().map { $0.key.string })
        let found = all.filter { wantsAll || names.contains($0.name) }
        guard !found.isEmpty else {
            throw ServerError(.invalidOptions, "no option found to get; getParameter: '*' lists all")
        }
        for (name, value) in found { context.writer.append(name, value) }
        return .done
    }

    static func setParameter(_ context: RouterContext) throws -> CommandOutcome {
        let known = parameters(of: context.router)
        for element in context.body.dropFirst() where !GenericArguments.isGeneric(element.key) {
            let name = element.key.string
            guard let current = known.first(where: { $0.name == name })?.value else {
                throw ServerError(
                    .invalidOptions, "attempted to set unrecognized parameter [\(name)], use help:true to see options")
            }
            guard name == "cursorTimeoutMillis" else {
                throw ServerError(.illegalOperation, "not allowed to change [\(name)] at runtime")
            }
            guard let number = element.value.asInteger, (1...Int64(Int32.max)).contains(number) else {
                throw ServerError(.badValue, "Invalid value for parameter \(name): it must be greater than 0")
            }
            context.frontend.cursors.idleMax = .milliseconds(number)
            context.writer.append("was" as String, current)
            return .done
        }
        throw ServerError(.invalidOptions, "no option found to set, use help:true to see options")
    }

    /// Connections to members of the cluster.
    static func connections(_ context: RouterContext) throws -> CommandOutcome {
        var sets: [(name: String, set: RemoteSet)] = [("config", context.catalog.config)]
        for shard in context.catalog.shards {
            if let set = context.catalog.knownShard(shard.id) { sets.append((shard.id.name, set)) }
        }
        let members = sets.flatMap { name, set in set.openMembers.map { (name, $0) } }
        let created = members.reduce(0) { $0 + $1.1.connectionCount }
        let inUse = members.reduce(0) { $0 + min($1.1.requestCount, $1.1.connectionCount) }
        context.writer.append("numClientConnections", int32: Int32(clamping: created))
        context.writer.append("numAScopedConnections", int32: 0)
        context.writer.append("totalInUse", int32: Int32(clamping: inUse))
        context.writer.append("totalAvailable", int32: Int32(clamping: created - inUse))
        context.writer.append("totalCreated", int32: Int32(clamping: created))
        context.writer.append("totalRefreshing", int32: 0)
        context.writer.document("pools") { _ in }
        context.writer.document("hosts") { writer in
            for (_, member) in members {
                writer.document(member.endpoint.description) {
                    let used = min(member.requestCount, member.connectionCount)
                    $0.append("inUse", int32: Int32(clamping: used))
                    $0.append("available", int32: Int32(clamping: member.connectionCount - used))
                    $0.append("created", int32: Int32(clamping: member.connectionCount))
                    $0.append("refreshing", int32: 0)
                    $0.append("requestsInFlight", int32: Int32(clamping: member.requestCount))
                }
            }
        }
        context.writer.document("replicaSets") { writer in
            for (_, set) in sets {
                writer.document(set.name) { inner in
                    inner.array("hosts") { array in
                        for server in set.description.servers {
                            array.document { host in
                                host.append("addr", string: server.address.description)
                                host.append("ok", bool: server.type != .unknown)
                                host.append("ismaster", bool: server.type == .primary)
                                host.append("secondary", bool: server.type == .secondary)
                                if let time = server.roundTripTime {
                                    host.append("pingTimeMillis", int64: time.wholeMilliseconds)
                                }
                            }
                        }
                    }
                }
            }
        }
        return .done
    }

    static func shutdown(_ context: RouterContext) throws -> CommandOutcome {
        .later {
            // The client learns of it by the end of its connection, as from MongoDB.
            context.connection.close(because: "the command shutdown ends the router")
            if let stop = context.router.onStopRequest { stop() } else { context.router.stop() }
        }
    }
}
