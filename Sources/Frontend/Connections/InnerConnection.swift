package import BSON
internal import Core
internal import Wire

extension Frontend {
    /// Runs one command as a client of this node would, without a connection: for the program that holds the node.
    /// - Parameters:
    ///   - database: the command's `$db`.
    ///   - kind: what in a sharded cluster it is asked as; nil for a client.
    /// - Returns: the reply, with `ok: 0` when the command failed.
    package func run(_ command: Document, database: String = "admin", as kind: String? = nil) async -> Document {
        let connection = InnerConnection(id: nextInnerConnection())
        let client = ClientConnection(frontend: self, connection: connection)
        client.speaksHello = true
        client.peer = kind.map { PeerIdentity(clusterKind: $0) }
        let request = ByteBuffer()
        let message = MessageWriter(message: request, requestID: 1, responseTo: 0)
        command.withView { for field in $0 { message.document.append(field.key, field.value) } }
        message.document.append("$db", string: database)
        message.finish()
        return await withUnsafeContinuation { (continuation: UnsafeContinuation<Document, Never>) in
            connection.onReply = { continuation.resume(returning: $0) }
            client.connection(connection, didReceive: request.bytes)
        }
    }
}

/// What stands for a connection when the program itself asks.
private final class InnerConnection: Connection {
    let id: UInt64
    let peerDescription = "inside"
    let output = ByteBuffer(capacity: 512)
    var onReply: ((Document) -> Void)?

    init(id: UInt64) { self.id = id }

    func flush() {
        guard output.count > 0, let onReply else { return }
        self.onReply = nil
        let reply = (try? Reply(output.bytes))?.body.document ?? ["ok": 0.0, "errmsg": "no readable reply"]
        output.removeAll()
        onReply(reply)
    }

    var pendingOutputBytes: Int { 0 }
    func close(graceful: Bool) { onReply.map { $0(["ok": 0.0, "errmsg": "the connection was closed"]) } }
    func setReading(_ enabled: Bool) {}
}
