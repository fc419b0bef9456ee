internal import BSON
internal import Core
internal import LiveRuntime
internal import Wire

/// One connection of a benchmark: it sends a request when it has the reply to the one before.
final class BenchConnection: ConnectionDelegate {
    private unowned let run: BenchRun
    private var connection: (any Connection)?
    private var lastRequest: Int32 = 0
    private var sentAt = Instant.zero
    private var isRead = false

    init(_ run: BenchRun) { self.run = run }

    func open(_ transport: any Transport, _ endpoint: Endpoint) {
        connection = transport.connect(to: endpoint, timeout: .seconds(5), delegate: self)
    }

    func close() { connection?.close(graceful: false) }

    func connectionDidOpen(_ connection: any Connection) { send(connection) }

    private func send(_ connection: any Connection) {
        guard !run.isOver else { return }
        lastRequest &+= 1
        isRead = run.appendRequest(to: connection.output, requestID: lastRequest)
        sentAt = run.runtime.now
        connection.flush()
    }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        let now = run.runtime.now
        var reader = MessageReader(messages)
        while let message = reader.next() {
            run.completed(failure: Self.failure(message, isRead: isRead), sentAt: sentAt, now: now)
            send(connection)
        }
    }

    /// What is wrong with a reply; nil for success.
    private static func failure(_ message: UnsafeRawBufferPointer, isRead: Bool) -> String? {
        let body: DocumentView
        do { body = try Reply(message).body } catch { return "no reply: \(error)" }
        guard body["ok"]?.asNumber == 1 else { return body["errmsg"]?.asString ?? "an error without a message" }
        if isRead {
            let batch = body["cursor"]?.asDocument?["firstBatch"]?.asArray
            return batch?.isEmpty == false ? nil : "a document that should be there was not found"
        }
        if let error = body["writeErrors"]?.asArray?.first?.value.asDocument ?? body["writeConcernError"]?.asDocument {
            return error["errmsg"]?.asString ?? "a write failed"
        }
        return nil
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        self.connection = nil
        run.connectionLost(reason)
    }
}
