internal import BSON
internal import Core
internal import Replication
internal import Wire

/// One accepted connection: takes requests in order, one command in flight, and sends replies.
final class ClientConnection: ConnectionDelegate {
    unowned let node: Node
    let connection: any Connection
    let openedAt: Instant

    /// Who the other side is, once it has introduced itself as a member of this set.
    var peer: PeerIdentity?
    /// Why its introduction was refused.
    var introductionError: ServerError?
    /// What the client said about itself in its first `hello`: `client`, as sent.
    var clientMetadata: Document?
    /// Whether the connection has said hello (older drivers: with OP_QUERY).
    var saidHello = false
    /// Whether the client knows the word "primary": it has sent `hello`, or `helloOk`.
    var speaksHello = false
    private(set) var isClosed = false

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
    private(set) var operation: Operation?
    /// The reply is held back until this wait is over.
    var heldFor: WaiterID?

    init(node: Node, connection: any Connection) {
        self.node = node
        self.connection = connection
        openedAt = node.runtime.now
    }

    var id: UInt64 { connection.id }

    func nextReplyID() -> Int32 {
        replyID = replyID == .max ? 1 : replyID + 1
        return replyID
    }

    // MARK: ConnectionDelegate

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        if isClosed { return }
        node.counters.physicalBytesIn &+= messages.count
        if isBusy {
            keep(messages)
        } else {
            process(messages)
        }
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        isClosed = true
        backlog = nil
        node.connectionDidClose(self, reason: reason)
        wakeWaits()
    }

    /// Calls `handler` when the connection closes; at once if it has.
    /// - Returns: what `forgetClose` takes when the wait is over; a connection may live for years.
    func onClose(_ handler: @escaping () -> Void) -> UInt64 {
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
    func forgetClose(_ id: UInt64) { closeHandlers.removeAll { $0.id == id } }

    /// Closes after a message that leaves no way to go on.
    func close(because reason: String) {
        guard !isClosed else { return }
        node.runtime.log.log(
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
    func beginWaiting(_ context: CommandContext) -> Operation {
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

/// Who a member is that has done the internal handshake.
struct PeerIdentity {
    let memberID: Int32
    let incarnation: Incarnation
}
