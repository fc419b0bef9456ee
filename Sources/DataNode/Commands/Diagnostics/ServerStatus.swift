internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `serverStatus`: counters of what the node has done.
enum ServerStatus {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("serverStatus", .serverStatus, help: "counters of what the node has done") { context in
                let unwanted = Set(context.body.dropFirst().filter { !$0.value.isTruthy }.map { $0.key.string })
                guard !unwanted.isEmpty else {
                    append(to: context.writer, context.node)
                    return .done
                }
                Document { append(to: $0, context.node) }.withView { sections in
                    for section in sections
                    where section.value.type != .document || !unwanted.contains(section.key.string) {
                        context.writer.append(section.key, section.value)
                    }
                }
                return .done
            })
    }

    static func append(to writer: DocumentWriter, _ node: Node) {
        let runtime = node.runtime
        let uptime = runtime.now - node.startedAt
        writer.append("host", string: node.frontend.advertisedName)
        writer.append("version", string: ServerVersion.mongoDB)
        writer.append("process", string: "quorate")
        writer.append("pid", int64: Int64(node.options.processID))
        writer.append("uptime", double: Double(uptime.wholeMilliseconds) / 1000)
        writer.append("uptimeMillis", int64: uptime.wholeMilliseconds)
        writer.append("uptimeEstimate", int64: uptime.wholeMilliseconds / 1000)
        writer.append("localTime", dateTime: runtime.wallClock.milliseconds)
        writer.document("connections") {
            $0.append("current", int32: Int32(truncatingIfNeeded: node.frontend.connectionCount))
            $0.append(
                "available",
                int32: Int32(truncatingIfNeeded: Limits.incomingConnectionsMax - node.frontend.connectionCount))
            $0.append("totalCreated", int64: Int64(truncatingIfNeeded: node.frontend.counters.connectionsCreated))
            $0.append("active", int32: Int32(truncatingIfNeeded: node.frontend.operationCount + 1))
        }
        appendLoad(to: writer, node)
        writer.document("network") {
            let counters = node.frontend.counters
            $0.append("bytesIn", int64: Int64(counters.bytesIn))
            $0.append("bytesOut", int64: Int64(counters.bytesOut))
            $0.append("physicalBytesIn", int64: Int64(counters.physicalBytesIn))
            $0.append("physicalBytesOut", int64: Int64(counters.bytesOut - counters.compressionSaved))
            $0.append("numRequests", int64: Int64(truncatingIfNeeded: node.frontend.counters.requests))
            $0.append("malformedMessages", int64: Int64(truncatingIfNeeded: node.frontend.counters.malformedMessages))
        }
        writer.document("opcounters") {
            $0.append("insert", int64: node.counters.insert)
            $0.append("query", int64: node.counters.query)
            $0.append("update", int64: node.counters.update)
            $0.append("delete", int64: node.counters.delete)
            $0.append("getmore", int64: node.counters.getMore)
            $0.append("command", int64: node.counters.command)
        }
        writer.document("opcountersRepl") { writer in
            let applied = node.counters.applied
            writer.append("insert", int64: applied.insert)
            writer.append("query", int64: 0)
            writer.append("update", int64: applied.update)
            writer.append("delete", int64: applied.delete)
            writer.append("getmore", int64: 0)
            writer.append("command", int64: applied.command)
        }
        writer.document("opLatencies") { node.counters.latencies.write(to: $0) }
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
            $0.append("activeSessionsCount", int32: Int32(truncatingIfNeeded: node.frontend.sessions.count))
            node.sessionReaper.write(to: $0)
        }
        writer.document("metrics") {
            $0.document("cursor") {
                $0.document("open") {
                    $0.append("total", int64: Int64(node.frontend.cursors.count))
                    $0.append("pinned", int64: Int64(node.frontend.cursors.pinnedCount))
                    $0.append("noTimeout", int64: Int64(node.frontend.cursors.staysIdleCount))
                }
                $0.append("timedOut", int64: node.frontend.cursors.timedOut)
            }
            $0.document("ttl") {
                $0.append("deletedDocuments", int64: node.ttl.deletedDocuments)
                $0.append("passes", int64: node.ttl.passes)
            }
            appendWork(to: $0, node)
            $0.document("repl") {
                $0.document("network") { node.counters.replication.write(to: $0) }
                $0.document("apply") {
                    $0.append("ops", int64: node.counters.applied.all)
                    $0.document("batches") { $0.append("num", int64: node.counters.replication.framesFetched) }
                }
                $0.document("buffer") {
                    let waiting = node.replication?.syncSource.waitingCount ?? 0
                    $0.append("count", int64: Int64(waiting))
                }
            }
            $0.document("commands") { writer in
                for command in node.frontend.commands.commands where command.total > 0 {
                    writer.document("\(command.name)") {
                        $0.append("failed", int64: Int64(truncatingIfNeeded: command.failed))
                        $0.append("total", int64: Int64(truncatingIfNeeded: command.total))
                    }
                }
            }
        }
        writer.document("transactions") {
            for name in ["currentActive", "currentInactive", "currentOpen"] as [StaticString] {
                $0.append(name, int64: 0)
            }
            for name in ["totalStarted", "totalCommitted", "totalAborted"] as [StaticString] {
                $0.append(name, int64: 0)
            }
        }
        node.appendFlowControl(to: writer)
        node.role.appendServerStatus(to: writer)
    }

    /// What goes on now, and what the process takes.
    private static func appendLoad(to writer: DocumentWriter, _ node: Node) {
        writer.document("asserts") {
            // A broken promise stops the node: there is none to count.
            for name in ["regular", "warning", "msg"] as [StaticString] { $0.append(name, int32: 0) }
            $0.append("user", int64: node.frontend.counters.failures)
            for name in ["tripwire", "rollovers"] as [StaticString] { $0.append(name, int32: 0) }
        }
        let operations = node.frontend.clientConnections.flatMap(\.operations)
        let queued = operations.count { $0.wait == .flowControl || $0.wait == .lock }
        let reading = operations.count { $0.command.traits.contains(.read) }
        let writing = operations.count { $0.command.traits.contains(.write) }
        writer.document("globalLock") {
            $0.append("totalTime", int64: (node.runtime.now - node.startedAt).wholeMicroseconds)
            $0.document("currentQueue") {
                // There is no lock but that of fsync; writers may have to wait for the majority, too.
                $0.append("total", int32: Int32(clamping: queued))
                $0.append("readers", int32: 0)
                $0.append("writers", int32: Int32(clamping: queued))
            }
            $0.document("activeClients") {
                $0.append("total", int32: Int32(clamping: operations.count + 1))
                $0.append("readers", int32: Int32(clamping: reading))
                $0.append("writers", int32: Int32(clamping: writing))
            }
        }
        let process = node.runtime.processStatistics
        writer.document("mem") {
            $0.append("bits", int32: 64)
            $0.append("supported", bool: process != nil)
            guard let process else { return }
            $0.append("resident", int32: Int32(clamping: process.residentBytes >> 20))
            $0.append("virtual", int32: Int32(clamping: process.virtualBytes >> 20))
        }
        guard let process else { return }
        writer.document("extra_info") {
            $0.append("note", string: "fields vary by platform")
            $0.append("page_faults", int64: process.pageFaults)
            $0.append("user_time_us", int64: process.userMicroseconds)
            $0.append("system_time_us", int64: process.systemMicroseconds)
        }
    }

    /// Documents and keys, sorts and waits.
    private static func appendWork(to writer: DocumentWriter, _ node: Node) {
        let work = node.data.work
        writer.document("document") {
            $0.append("deleted", int64: work.deleted)
            $0.append("inserted", int64: work.inserted)
            $0.append("returned", int64: work.returned)
            $0.append("updated", int64: work.updated)
        }
        writer.document("queryExecutor") {
            $0.append("scanned", int64: work.keysExamined)
            $0.append("scannedObjects", int64: work.documentsExamined)
        }
        writer.document("operation") {
            $0.append("scanAndOrder", int64: work.sorted)
            $0.append("writeConflicts", int64: 0)
        }
        writer.document("getLastError") {
            let concerns = node.counters.writeConcerns
            $0.document("wtime") {
                $0.append("num", int32: Int32(clamping: concerns.waits))
                $0.append("totalMillis", int32: Int32(clamping: concerns.waited.wholeMilliseconds))
            }
            $0.append("wtimeouts", int64: concerns.timeouts)
        }
    }
}
