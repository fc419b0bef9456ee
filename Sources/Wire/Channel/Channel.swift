public import BSON
public import Core

/// Requests to another node and their replies, over one connection, from its opening to its end.
///
/// Everything that talks to another node does it over one of these: members among themselves, clients, diagnostics and
/// benchmarks. Many requests may be in flight; replies are matched to them by `responseTo`, in whatever order they
/// come. Each completion is called once (for a stream of replies: once a reply) on the runtime's loop, and when the
/// connection ends those in flight fail in the order in which they were sent. A channel that has ended stays so: who
/// wants to go on makes a new one.
public final class Channel: ConnectionDelegate {
    /// Takes a reply, which is valid during the call, or why there is none.
    public typealias Completion = (Result<Reply, ChannelError>) -> Void

    /// How a channel behaves.
    public struct Settings: Sendable {
        /// How long the connection may take to open.
        public var connectTimeout: Duration
        /// What `hello` offers, the best first. Once the other side has agreed to one, requests are compressed.
        public var compressors: [Compressor] = []
        /// Whether the connection is kept after a request that was not answered in time, if anything else has arrived
        /// since. Replies that nobody waits for may then be late ones, and are dropped; else they end the channel.
        public var outlivesTimeouts = false

        /// How long connecting may take, and nothing beside it.
        public init(connectTimeout: Duration) { self.connectTimeout = connectTimeout }
    }

    public let endpoint: Endpoint
    /// The connection is open.
    public private(set) var isOpen = false
    /// Why it is over; nil while it can be used.
    public private(set) var ending: ChannelError?
    /// The number of the newest request.
    public private(set) var lastRequestID: Int32
    /// Called once, when the connection has opened.
    public var onOpen: (() -> Void)?
    /// Called once, behind the completions of what was in flight: whether it had been open, and why it ended.
    public var onEnd: ((_ wasOpen: Bool, ChannelError) -> Void)?

    let runtime: any NodeRuntime
    let settings: Settings
    private(set) var connection: (any Connection)?
    private var inFlight = RequestsInFlight()
    private var isStreaming = false
    private var lastReceivedAt: Instant?
    /// The `hello` that was not answered yet: its reply says how to compress.
    private var helloID: Int32?
    var compression = ChannelCompression()

    /// Begins to connect. Requests may be made at once: they are sent when the connection is open. They are numbered
    /// from the one behind `lastRequestID` on.
    public init(
        to endpoint: Endpoint, over transport: any Transport, _ runtime: any NodeRuntime, settings: Settings,
        lastRequestID: Int32 = 0
    ) {
        self.endpoint = endpoint
        self.runtime = runtime
        self.settings = settings
        self.lastRequestID = lastRequestID
        connection = transport.connect(to: endpoint, timeout: settings.connectTimeout, delegate: self)
    }

    /// Whether requests can be made: it has not ended.
    public var isUsable: Bool { ending == nil }
    /// How many replies are waited for.
    public var requestsInFlight: Int { inFlight.count }
    /// Whether a reply is waited for.
    public var isInUse: Bool { !inFlight.isEmpty }

    // MARK: Requests

    /// Sends the message that `write` appends under the number that it is given. `timeout` is how long the reply, and
    /// each further one of a stream, may take; nil for ever.
    public func request(
        timeout: Duration? = nil, write: (ByteBuffer, Int32) -> Void, completion: @escaping Completion
    ) {
        send(timeout, isCompressible: true, write, completion)
    }

    /// Sends a message that gets no reply.
    public func post(_ write: (ByteBuffer, Int32) -> Void) throws(ChannelError) {
        if let ending { throw ending }
        guard let connection else { return }
        _ = append(to: connection.output, isCompressible: true, write)
        connection.flush()
    }

    /// Says `hello`, and agrees on compression with what the reply says. `flags` are those of OP_MSG; with
    /// `exhaustAllowed` the reply may be a stream.
    public func hello(
        timeout: Duration?, flags: UInt32 = 0, _ build: (DocumentWriter) -> Void, completion: @escaping Completion
    ) {
        send(timeout, isCompressible: false, { writeHello(to: $0, $1, flags, build) }, completion)
    }

    /// Says `hello` ahead of the next request, and does not wait for the reply: who refuses an introduction refuses
    /// what comes behind it.
    public func introduce(_ build: (DocumentWriter) -> Void) {
        guard let connection else { return }
        _ = append(to: connection.output, isCompressible: false) { writeHello(to: $0, $1, 0, build) }
    }

    private func send(
        _ timeout: Duration?, isCompressible: Bool, _ write: (ByteBuffer, Int32) -> Void,
        _ completion: @escaping Completion
    ) {
        if let ending { return completion(.failure(ending)) }
        guard let connection, !inFlight.isFull, !isStreaming else { return completion(.failure(.full)) }
        let id = append(to: connection.output, isCompressible: isCompressible, write)
        let sentAt = timeout == nil ? .zero : runtime.now
        inFlight.add(
            .init(id: id, sentAt: sentAt, timeout: timeout, timer: timer(timeout, id), completion: completion))
        connection.flush()
    }

    private func writeHello(to output: ByteBuffer, _ id: Int32, _ flags: UInt32, _ build: (DocumentWriter) -> Void) {
        let message = MessageWriter(message: output, requestID: id, responseTo: 0, flags: flags)
        build(message.document)
        helloID = id
        if !settings.compressors.isEmpty {
            message.document.array("compression") { for one in settings.compressors { $0.append(string: one.name) } }
        }
        message.document.append("$db", string: "admin" as StaticString)
        message.finish()
    }

    private func append(
        to output: ByteBuffer, isCompressible: Bool, _ write: (ByteBuffer, Int32) -> Void
    ) -> Int32 {
        lastRequestID = lastRequestID == .max ? 1 : lastRequestID + 1
        let start = output.count
        write(output, lastRequestID)
        if isCompressible, let agreed = compression.agreed {
            CompressedMessage.compressLast(of: output, from: start, with: agreed)
        }
        return lastRequestID
    }

    private func timer(_ timeout: Duration?, _ id: Int32) -> TimerToken? {
        timeout.map { runtime.schedule(after: $0) { [weak self] in self?.expire(id) } }
    }

    private func expire(_ id: Int32) {
        guard let late = inFlight.remove(id) else { return }
        // Nothing at all came since: the connection may be dead without anybody having said so (the other host is gone,
        // a firewall forgot it), and would swallow every request to come.
        let isSilent = lastReceivedAt.map { $0 < late.sentAt } ?? true
        if isSilent || !settings.outlivesTimeouts { end(.timedOut) }
        late.completion(.failure(.timedOut))
    }

    // MARK: Replies

    /// Takes one whole message that is not compressed.
    func take(_ message: UnsafeRawBufferPointer) {
        do throws(InvalidMessage) {
            deliver(try Reply(message))
        } catch {
            end(.unreadable("a reply that cannot be read: \(error.reason)"))
        }
    }

    private func deliver(_ reply: Reply) {
        let id = reply.responseTo
        let isHello = id == helloID
        if isHello {
            helloID = nil
            compression.agree(reply.body, settings.compressors)
        }
        if reply.moreToCome, !inFlight.isAlone(id) { return end(.unreadable("a stream of replies among others")) }
        guard var request = inFlight.remove(id) else {
            if !isHello, !settings.outlivesTimeouts { end(.unreadable("a reply to request \(id), which was not made")) }
            return
        }
        if let timer = request.timer { runtime.cancel(timer) }
        isStreaming = reply.moreToCome
        if isStreaming {
            // Of a stream, each reply answers the one before it.
            request.id = reply.requestID
            request.timer = timer(request.timeout, request.id)
            inFlight.add(request)
        }
        request.completion(.success(reply))
    }

    // MARK: The end

    /// Closes the connection; what is in flight fails.
    /// - Parameter graceful: what was sent arrives before.
    public func close(graceful: Bool = false) { end(.closed(.local), graceful: graceful) }

    func end(_ error: ChannelError, graceful: Bool = false) {
        guard let connection else { return }
        let wasOpen = isOpen
        self.connection = nil
        isOpen = false
        ending = error
        connection.close(graceful: graceful)
        for request in inFlight.removeAll() {
            if let timer = request.timer { runtime.cancel(timer) }
            request.completion(.failure(error))
        }
        onOpen = nil
        onEnd.take()?(wasOpen, error)
    }

    // MARK: ConnectionDelegate

    public func connectionDidOpen(_ connection: any Connection) {
        guard ending == nil else { return }
        isOpen = true
        onOpen.take()?()
    }

    public func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        guard ending == nil else { return }
        lastReceivedAt = runtime.now
        read(messages)
    }

    public func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        connectionEnded(reason)
    }

    /// The connection has closed; what arrived before is taken first.
    func connectionEnded(_ reason: CloseReason) {
        guard ending == nil else { return }
        if compression.behind == nil { end(.closed(reason)) } else { compression.behind?.end = reason }
    }
}
