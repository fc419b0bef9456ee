internal import BSON
internal import Core
internal import Data
internal import Frontend

/// What the server is: version, command line, host, commands, connections.
enum ServerInformation {
    static func add(to table: inout CommandSet) {
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
            Command("connPoolStats", .empty, help: "connections to other members") {
                context in
                appendPeerConnections(to: context.writer, context.node)
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
