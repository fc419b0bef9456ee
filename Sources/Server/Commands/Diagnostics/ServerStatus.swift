internal import BSON
internal import Core

/// `serverStatus`: counters of what the node has done.
enum ServerStatus {
    static func add(to table: inout CommandTable) {
        table.add(
            Command("serverStatus", .serverStatus, help: "counters of what the node has done") { context in
                append(to: context.writer, context.node)
                return .done
            })
    }

    private static func append(to writer: DocumentWriter, _ node: Node) {
        let runtime = node.runtime
        let uptime = runtime.now - node.startedAt
        writer.append("host", string: node.advertisedName)
        writer.append("version", string: ServerVersion.mongoDB)
        writer.append("process", string: "quorate")
        writer.append("pid", int64: Int64(node.options.processID))
        writer.append("uptime", double: Double(uptime.wholeMilliseconds) / 1000)
        writer.append("uptimeMillis", int64: uptime.wholeMilliseconds)
        writer.append("localTime", dateTime: runtime.wallClock.milliseconds)
        writer.document("connections") {
            $0.append("current", int32: Int32(truncatingIfNeeded: node.connectionCount))
            $0.append(
                "available", int32: Int32(truncatingIfNeeded: Limits.incomingConnectionsMax - node.connectionCount))
            $0.append("totalCreated", int64: Int64(truncatingIfNeeded: node.counters.connectionsCreated))
        }
        writer.document("network") {
            $0.append("numRequests", int64: Int64(truncatingIfNeeded: node.counters.requests))
            $0.append("malformedMessages", int64: Int64(truncatingIfNeeded: node.counters.malformedMessages))
        }
        writer.document("opcounters") {
            $0.append("insert", int64: node.counters.insert)
            $0.append("query", int64: node.counters.query)
            $0.append("update", int64: node.counters.update)
            $0.append("delete", int64: node.counters.delete)
            $0.append("getmore", int64: node.counters.getMore)
            $0.append("command", int64: node.counters.command)
        }
        writer.document("storageEngine") {
            $0.append("name", string: node.options.storageName)
            $0.append("persistent", bool: node.engine.survivesRestart)
            $0.append("statistics", node.engine.statistics)
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
            $0.append("activeSessionsCount", int32: Int32(truncatingIfNeeded: node.sessions.count))
        }
        writer.document("metrics") {
            $0.document("cursor") {
                $0.document("open") { $0.append("total", int64: Int64(node.cursors.count)) }
                $0.append("timedOut", int64: node.cursors.timedOut)
            }
            $0.document("repl") { $0.document("network") { node.counters.replication.write(to: $0) } }
            $0.document("ttl") {
                $0.append("deletedDocuments", int64: node.ttl.deletedDocuments)
                $0.append("passes", int64: node.ttl.passes)
            }
            $0.document("commands") { writer in
                for command in node.commands.commands where command.total > 0 {
                    writer.document("\(command.name)") {
                        $0.append("failed", int64: Int64(truncatingIfNeeded: command.failed))
                        $0.append("total", int64: Int64(truncatingIfNeeded: command.total))
                    }
                }
            }
        }
        node.appendFlowControl(to: writer)
        node.role.appendServerStatus(to: writer)
    }
}
