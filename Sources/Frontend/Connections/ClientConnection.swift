package import BSON
package import Core
internal import Wire

/// One accepted connection: takes requests in order and sends replies. A client gets them in the order of its requests,
/// so it has one command in flight. A member of the cluster matches replies to requests itself (`Channel`): a command
/// of its that was put off does not hold up the next ones, and each is answered when it is done.
package final class ClientConnection: ConnectionDelegate {
    package unowned let frontend: Frontend
    package let connection: any Connection
    /// Where the connection's replies go.
    let output: ByteBuffer
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
    /// The session that the client used last.
    var session: SessionRegistry.Session?
    /// The message within a compressed one.
    var plain: ByteBuffer?

    /// A large message is being decompressed: what comes behind it waits.
    private var isDecompressing = false
    /// Messages that wait until `isBusy` is over.
    private var backlog: ByteBuffer?
    /// A message is being handled, whose reply may be half written: other commands' replies go behind it.
    private var isHandling = false
    private var repliesBehind: [() -> Void] = []
    private var replyID: Int32 = 0
    /// Called once when the connection closes, by what waits on its behalf: one or two at a time.
    private var closeHandlers: [(id: UInt64, run: () -> Void)] = []
    private var nextCloseHandler: UInt64 = 0
    /// The commands in flight that were put off, in the order in which they came: one at most, but for members.
    package private(set) var operations: [Operation] = []
    /// The numbers, among the service's, of the waits that they are held for.
    private var waits: [UInt64] = []

    init(frontend: Frontend, connection: any Connection) {
        self.frontend = frontend
        self.connection = connection
        output = connection.output
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
        let frontend = frontend
        frontend.counters.physicalBytesIn &+= messages.count
        if isBusy {
            keep(messages)
        } else {
            process(messages, frontend)
        }
    }

    package func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        isClosed = true
        backlog = nil
        frontend.connectionDidClose(self)
        abandonWaits(because: ClientConnection.clientIsGone)
    }

    /// A command in flight is held for the service's wait of that number, until `release`.
    package func hold(for wait: UInt64) { waits.append(wait) }
    package func release(_ wait: UInt64) { waits.removeAll { $0 == wait } }

    /// Ends what the commands in flight wait for.
    func abandonWaits(because reason: ServerError) {
        for wait in waits { frontend.service.abandonWait(wait, because: reason) }
        wakeWaits()
    }

    /// Calls `handler` when the connection closes; at once if it has.
    /// - Returns: what `forgetClose` takes when the wait is over; a connection may live for years.
    package func onClose(_ handler: @escaping () -> Void) -> UInt64 {
        nextCloseHandler += 1
        if isClosed { handler() } else { closeHandlers.append((nextCloseHandler, handler)) }
        return nextCloseHandler
    }

    private func wakeWaits() {
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

    /// Whether messages that arrive now have to wait.
    private var isBusy: Bool {
        isDecompressing || operations.count >= (peer == nil ? 1 : Limits.peerOperationsMax)
    }

    private func process(_ messages: UnsafeRawBufferPointer, _ frontend: Frontend) {
        var reader = MessageReader(messages)
        var consumed = 0
        while !isClosed, let message = reader.next() {
            consumed += message.count
            isHandling = true
            take(message, frontend)
            handlingEnded()
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

    private func handlingEnded() {
        isHandling = false
        while !repliesBehind.isEmpty { repliesBehind.removeFirst()() }
    }

    /// Calls `body`, which writes the reply of a command that was put off, and ends it.
    func reply(_ body: @escaping () -> Void) {
        if isHandling, peer != nil { repliesBehind.append(body) } else { body() }
    }

    /// A command has been put off, and can be seen and ended from now on.
    @discardableResult
    func beginWaiting(_ context: RequestContext) -> Operation {
        let operation = Operation(context)
        operations.append(operation)
        context.operation = operation
        return operation
    }

    /// The command that was put off is answered.
    func endWaiting(_ operation: Operation) {
        operations.removeAll { $0 === operation }
        goOn()
    }

    /// A message is being decompressed aside.
    func beginDecompressing() { isDecompressing = true }

    /// It is there: `body` handles it, and may put the command off.
    func endDecompressing(_ body: () -> Void) {
        isDecompressing = false
        guard !isClosed else { return }
        isHandling = true
        body()
        handlingEnded()
        goOn()
    }

    /// Sends what there is, and takes what has waited if it may.
    private func goOn() {
        guard !isClosed else { return }
        connection.flush()
        guard !isBusy, let waiting = backlog else { return }
        backlog = nil
        connection.setReading(true)
        process(waiting.bytes, frontend)
    }
}
