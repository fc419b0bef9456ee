internal import BSON
internal import Core
internal import LiveRuntime
internal import Wire

/// One connection of a benchmark: it sends a request when it has the reply to the one before. Where reads go to another
/// member than writes, it is a pair of channels of which one is in use.
final class BenchConnection {
    private unowned let run: BenchRun
    private let writer: Channel
    /// The writer, when that reads too.
    private let reader: Channel
    private var opening: Int
    private var isOver = false
    private var sentAt = Instant.zero
    private var isRead = false

    init(_ run: BenchRun, over transport: any Transport, writes: Endpoint, reads: Endpoint) {
        self.run = run
        let settings = Channel.Settings(connectTimeout: .seconds(5))
        writer = Channel(to: writes, over: transport, run.runtime, settings: settings)
        reader = reads == writes ? writer : Channel(to: reads, over: transport, run.runtime, settings: settings)
        opening = reads == writes ? 1 : 2
        for channel in reads == writes ? [writer] : [writer, reader] {
            channel.onOpen = { [self] in opened() }
            channel.onEnd = { [self] _, reason in lost(reason) }
        }
    }

    func close() {
        isOver = true
        writer.close()
        reader.close()
    }

    private func opened() {
        opening -= 1
        if opening == 0 { send() }
    }

    private func send() {
        guard !run.isOver, !isOver else { return }
        let request = run.nextRequest()
        isRead = request.isRead
        sentAt = run.runtime.now
        (isRead ? reader : writer).request { output, id in
            request.bytes.append(to: output, requestID: id, key: request.key)
        } completion: { [self] reply in
            guard case .success(let reply) = reply else { return }
            run.completed(failure: Self.failure(reply.body, isRead: isRead), sentAt: sentAt, now: run.runtime.now)
            send()
        }
    }

    /// One of the channels has ended, and the other one of the pair is of no use any more.
    private func lost(_ reason: ChannelError) {
        guard !isOver else { return }
        close()
        run.connectionLost(reason)
    }

    /// What is wrong with a reply; nil for success.
    private static func failure(_ body: DocumentView, isRead: Bool) -> String? {
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
}
