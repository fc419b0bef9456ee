internal import BSON
internal import Core
internal import LiveRuntime
internal import Wire

/// One connection of a benchmark: it sends a request when it has the reply to the one before. Where reads go to another
/// member than writes, it is a pair of connections of which one is in use.
final class BenchConnection: ConnectionDelegate {
    private unowned let run: BenchRun
    private var writer: (any Connection)?
    /// Nil when the writer reads.
    private var reader: (any Connection)?
    private var opening = 0
    private var isOver = false
    private var lastRequest: Int32 = 0
    private var sentAt = Instant.zero
    private var isRead = false

    init(_ run: BenchRun) { self.run = run }

    func open(_ transport: any Transport, writes: Endpoint, reads: Endpoint) {
        opening = reads == writes ? 1 : 2
        writer = transport.connect(to: writes, timeout: .seconds(5), delegate: self)
        if reads != writes { reader = transport.connect(to: reads, timeout: .seconds(5), delegate: self) }
    }

    func close() {
        writer?.close(graceful: false)
        reader?.close(graceful: false)
    }

    func connectionDidOpen(_ connection: any Connection) {
        opening -= 1
        if opening == 0 { send() }
    }

    private func send() {
        guard !run.isOver, let writer else { return }
        let reader = reader ?? writer
        lastRequest &+= 1
        isRead = run.appendRequest(requestID: lastRequest) { $0 ? reader.output : writer.output }
        sentAt = run.runtime.now
        (isRead ? reader : writer).flush()
    }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        let now = run.runtime.now
        var reader = MessageReader(messages)
        while let message = reader.next() {
            run.completed(failure: Self.failure(message, isRead: isRead), sentAt: sentAt, now: now)
            send()
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
        guard !isOver else { return }
        isOver = true
        let (writer, reader) = (writer, reader)
        self.writer = nil
        self.reader = nil
        // The other one of the pair is of no use any more.
        if writer !== connection { writer?.close(graceful: false) }
        if reader !== connection { reader?.close(graceful: false) }
        run.connectionLost(reason)
    }
}
