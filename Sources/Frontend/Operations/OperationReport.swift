package import BSON
internal import Core

/// What `currentOp` and `$currentOp` show: the operation that asks, those that wait or are long, and on request
/// connections and cursors that are idle.
package struct OperationReport {
    package init() {}

    package var idleConnections = false
    package var idleCursors = false
    package var idleSessions = false

    /// `command` of an operation: whole up to so many bytes, else as text that is cut off.
    package static func shown(_ command: DocumentView, most: Int = Limits.shownCommandBytesMax) -> Document {
        if command.byteCount <= most { return command.document }
        var text = ""
        for element in command {
            let isLong = element.value.byteCount > most
            let value = isLong ? "…" : Document { $0.append(element.key, element.value) }.extendedJSON()
            text += text.isEmpty ? "" : ", "
            text += isLong ? "\(element.key.string): \(value)" : String(value.dropFirst().dropLast())
            if text.utf8.count > most { break }
        }
        return Document { writer in
            writer.append("$truncated", string: String(text.prefix(most)))
            if let comment = command["comment"], comment.byteCount <= Limits.shownCommandBytesMax {
                writer.append("comment", comment)
            }
        }
    }

    package func documents(_ context: RequestContext) -> [Document] {
        let frontend = context.frontend
        var documents = [describe(Operation(context), context.connection, frontend)]
        for connection in frontend.clientConnections {
            // The one that asks is described already.
            let others = connection.operations.filter { $0 !== context.operation }
            documents += others.map { describe($0, connection, frontend) }
            if others.isEmpty, idleConnections, connection !== context.connection {
                documents.append(Document { appendConnection(connection, isActive: false, frontend, to: $0) })
            }
        }
        if idleCursors { documents += frontend.cursors.idleDocuments(host: frontend.advertisedName) }
        if idleSessions {
            documents += frontend.sessions.documents.map { session in
                Document { writer in
                    writer.append("type", string: "idleSession")
                    writer.append("host", string: frontend.advertisedName)
                    writer.append("desc", string: "inactive session")
                    if let id = session["_id"]?.asDocument { writer.append("lsid", id) }
                    writer.append("active", bool: false)
                }
            }
        }
        return documents
    }

    private func appendConnection(
        _ connection: ClientConnection, isActive: Bool, _ frontend: Frontend, to writer: DocumentWriter
    ) {
        writer.append("type", string: "op")
        writer.append("host", string: frontend.advertisedName)
        writer.append("desc", string: "conn\(connection.id)")
        writer.append("connectionId", int64: Int64(truncatingIfNeeded: connection.id))
        writer.append("client", string: connection.connection.peerDescription)
        if let name = connection.applicationName { writer.append("appName", string: name) }
        if let metadata = connection.clientMetadata { writer.append("clientMetadata", metadata) }
        writer.append("active", bool: isActive)
        if let time = DateText.format(frontend.runtime.wallClock.milliseconds) {
            writer.append("currentOpTime", string: time)
        }
    }

    private func describe(_ operation: Operation, _ connection: ClientConnection, _ frontend: Frontend) -> Document {
        let body = operation.document
        return Document { writer in
            appendConnection(connection, isActive: true, frontend, to: writer)
            writer.append("opid", int32: operation.id)
            if let session = body["lsid"]?.asDocument { writer.append("lsid", session) }
            let running = frontend.runtime.now - operation.startedAt
            writer.append("secs_running", int64: running.wholeMilliseconds / 1000)
            writer.append("microsecs_running", int64: running.wholeMicroseconds)
            writer.append("op", string: operation.command.operationType)
            writer.append("ns", string: Self.namespace(of: body, operation))
            writer.append("redacted", bool: false)
            writer.append("command", body)
            if let cursor = operation.cursor {
                writer.document("cursor") { CursorRegistry.describe(cursor, to: $0) }
            }
            if operation.interruption != nil { writer.append("killPending", bool: true) }
            switch operation.wait {
            case .writeConcern: writer.append("msg", string: "waiting for write concern")
            case .data: writer.append("msg", string: "waiting for data")
            case .flowControl, .lock, nil: break
            }
            writer.append("waitingForLock", bool: operation.wait == .lock)
            writer.append("waitingForFlowControl", bool: operation.wait == .flowControl)
        }
    }

    /// `database.collection` of what a command names, else `database.$cmd`.
    private static func namespace(of document: Document, _ operation: Operation) -> String {
        if let cursor = operation.cursor { return cursor.namespace }
        return document.withView { namespace(of: $0, operation.command, operation.database) }
    }

    package static func namespace(of operation: Operation) -> String { namespace(of: operation.document, operation) }

    package static func namespace(of document: DocumentView, _ command: RegisteredCommand, _ database: String) -> String
    {
        let isOnCollection = !command.traits.isDisjoint(with: [.read, .write])
        let argument = document.isFirst("getMore") ? document["collection"] : document.first?.value
        let name = (argument?.asString).flatMap { isOnCollection ? $0 : nil } ?? "$cmd"
        return "\(database).\(name)"
    }
}

extension RegisteredCommand {
    /// `op` of `currentOp` and of the profiler.
    package final var operationType: StaticString {
        switch KeyView(base: name.utf8Start, count: name.utf8CodeUnitCount) {
        case "find": "query"
        case "insert": "insert"
        case "update": "update"
        case "delete": "remove"
        case "getMore": "getmore"
        default: "command"
        }
    }
}
