package import BSON
package import Core
internal import Wire

/// One accepted connection: takes requests in order, one command in flight, and sends replies.
package final class ClientConnection: ConnectionDelegate {
    package unowned let frontend: Frontend
    package let connection: any Connection
    package let openedAt: Instant

    /// Who the other side is, once it has introduced itself as a member of this set.
    package internal(set) var peer: PeerIdentity?
    /// Why its introduction was refused.
    var introductionError: ServerError?
    /// What the client said about itself in its first `hello`: `client`, as sent.
    package internal(set) var clientMetadata: Document?
    /// Whether the connection has said hello (older drivers: with OP_QUERY).
    var saidHello = false
    /// Whether the client knows the word "primary": it has sent `hello`, or `helloOk`.
    var speaksHello = false
    package private(set) var isClosed = false

    /// What was agreed upon in `hello`; and how the request that is being answered came, which is how its reply goes.
    var compressors: [Compressor] = []
    var replyCompressor: Compressor?
    /// The message within a compressed one.
    var plain: ByteBuffer?

    /// A command waits; further messages wait behind it in `backlog`.
    private var isBusy = false
    private var backlog: ByteBuffer?
    private var replyID: Int32 = 0
    /// Called once when the connection closes, by what waits on its behalf: one or two at a time.
    private var closeHandlers: [(id: UInt64, run: () -> Void)] = []
    private var nextCloseHandler: UInt64 = 0
    /// The command in flight, when it was put off.
    package private(set) var operation: Operation?
    /// The number, among the service's, of the wait that the command in flight is held for.
    package var heldFor: UInt64?

    init(frontend: Frontend, connection: any Connection) {
        self.frontend = frontend
        self.connection = connection
        openedAt = frontend.runtime.now
    }

    /// Why a wait ends whose client has closed the connection.
    package static var clientIsGone: ServerError { ServerError(.clientDisconnect, "the client has gone") }

    package var id: UInt64 { connection.id }

    func nextReplyID() -> Int32 {
        replyID = replyID == .max ? 1 : replyID + 1
        return replyID
    }

    // MARK: ConnectionDelegate

    package func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        if isClosed { return }
        frontend.counters.physicalBytesIn &+= messages.count
        if isBusy {
            keep(messages)
        } else {
            process(messages)
        }
    }

    package func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        isClosed = true
        backlog = nil
        frontend.connectionDidClose(self, reason: reason)
        wakeWaits()
    }

    /// Calls `handler` when the connection closes; at once if it has.
    /// - Returns: what `forgetClose` takes when the wait is over; a connection may live for years.
    package func onClose(_ handler: @escaping () -> Void) -> UInt64 {
        nextCloseHandler += 1
        if isClosed { handler() } else { closeHandlers.append((nextCloseHandler, handler)) }
        return nextCloseHandler
    }

    /// Ends what waits on behalf of the connection, as its closing would.
    func wakeWaits() {
        let handlers = closeHandlers
        closeHandlers = []
        for handler in handlers { handler.run() }
    }

    /// The handler is not to be called any more.
    package func forgetClose(_ id: UInt64) { closeHandlers.removeAll { $0.id == id } }

    /// Closes after a message that leaves no way to go on.
    package func close(because reason: String) {
        guard !isClosed else { return }
        frontend.runtime.log.log(
            .warning, "network", "closing connection \(id) of \(connection.peerDescription): \(reason)")
        connection.flush()
        connection.close(graceful: true)
        isClosed = true
    }

    // MARK: Order

    private func process(_ messages: UnsafeRawBufferPointer) {
        var reader = MessageReader(messages)
        var consumed = 0
        while !isClosed, let message = reader.next() {
            consumed += message.count
            take(message)
            if isBusy {
                let rest = UnsafeRawBufferPointer(rebasing: messages[consumed...])
                if !rest.isEmpty { keep(rest) }
                break
            }
        }
        if !isClosed { connection.flush() }
    }

    private func keep(_ messages: UnsafeRawBufferPointer) {
        let buffer = backlog ?? ByteBuffer(capacity: messages.count)
        backlog = buffer
        buffer.append(messages)
        // A client that goes on sending behind a waiting command is held back by its own socket.
        if buffer.count > Limits.connectionBacklogBytes { connection.setReading(false) }
    }

    /// A message has been put off: what arrives now waits.
    func beginWaiting() { isBusy = true }

    /// A command has been put off, and can be seen and ended from now on.
    @discardableResult
    func beginWaiting(_ context: RequestContext) -> Operation {
        isBusy = true
        let operation = Operation(context)
        self.operation = operation
        return operation
    }

    /// The command that waited is answered; the next may run.
    func endWaiting() { continueAfterWaiting {} }

    /// What was waited for is there: `body` handles it, and may put it off again; then the next may run.
    func continueAfterWaiting(_ body: () -> Void) {
        isBusy = false
        operation = nil
        guard !isClosed else { return }
        body()
        guard !isClosed, !isBusy else { return }
        connection.flush()
        guard let waiting = backlog else { return }
        backlog = nil
        connection.setReading(true)
        process(waiting.bytes)
    }
}
