import BSON
import Core
import Wire

/// A reply that owns its document.
struct ReceivedReply {
    let requestID: Int32
    let responseTo: Int32
    let moreToCome: Bool
    let document: Document
}

/// One connection of a client: one request at a time, and its reply or replies.
final class ClientConnection: ConnectionDelegate {
    let address: Endpoint
    /// The pool's generation in which it was opened: an error of an older one says nothing about the server now.
    let generation: Int
    private(set) var failure: NetworkError?
    var lastUse: Instant

    private let runtime: any NodeRuntime
    private var connection: (any Connection)?
    private let opened = OneShot<Void>()
    private var arrived: [ReceivedReply] = []
    private var waiter: OneShot<Void>?
    private var nextRequestID: Int32 = 1
    /// What the next reply must answer.
    private var expected: Int32?

    init(address: Endpoint, generation: Int, runtime: any NodeRuntime) {
        self.address = address
        self.generation = generation
        self.runtime = runtime
        lastUse = runtime.now
    }

    var isUsable: Bool { failure == nil && connection != nil }

    func open(_ transport: any Transport, timeout: Duration) async throws(NetworkError) {
        connection = transport.connect(to: address, timeout: timeout, delegate: self)
        await opened.wait()
        if let failure { throw failure }
    }

    func close() {
        if failure == nil { failure = NetworkError(address: address, kind: .closed, message: "closed by the client") }
        connection?.close(graceful: true)
        connection = nil
        wake()
    }

    /// Sends one message that `write` makes; `write` is given the request id.
    func send(expectsReply: Bool = true, _ write: (ByteBuffer, Int32) -> Void) throws(NetworkError) {
        guard let connection, failure == nil else { throw failure ?? closedError }
        let id = nextRequestID
        nextRequestID &+= 1
        expected = expectsReply ? id : nil
        lastUse = runtime.now
        write(connection.output, id)
        connection.flush()
    }

    /// Waits for the next reply. A connection whose reply did not come in time is of no use any more and closes.
    func receive(until deadline: Instant?) async throws(NetworkError) -> ReceivedReply {
        while arrived.isEmpty {
            if let failure { throw failure }
            let next = OneShot<Void>()
            waiter = next
            if let deadline { await next.wait(runtime, until: deadline, else: ()) } else { await next.wait() }
            waiter = nil
            if arrived.isEmpty, failure == nil, let deadline, runtime.now >= deadline {
                failure = NetworkError(address: address, kind: .timedOut, message: "no reply in time")
                connection?.close(graceful: false)
                connection = nil
            }
        }
        return arrived.removeFirst()
    }

    private var closedError: NetworkError { NetworkError(address: address, kind: .closed, message: "not connected") }

    private func wake() {
        opened.resolve(())
        waiter?.resolve(())
    }

    private func breakOff(_ message: String) {
        failure = NetworkError(address: address, kind: .protocolViolation, message: message)
        connection?.close(graceful: false)
        connection = nil
        wake()
    }

    // MARK: ConnectionDelegate

    func connectionDidOpen(_ connection: any Connection) { opened.resolve(()) }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        var reader = MessageReader(messages)
        while failure == nil, let message = reader.next() {
            let reply: Reply
            do { reply = try Reply(message) } catch { return breakOff("a reply that cannot be read: \(error)") }
            guard reply.responseTo == expected else {
                return breakOff("a reply to request \(reply.responseTo), which was not made")
            }
            // Of an exhaust stream, each reply answers the one before it.
            expected = reply.moreToCome ? reply.requestID : nil
            arrived.append(
                ReceivedReply(
                    requestID: reply.requestID, responseTo: reply.responseTo, moreToCome: reply.moreToCome,
                    document: Document(copying: reply.body)))
        }
        wake()
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        self.connection = nil
        if failure == nil {
            switch reason {
            case .unreachable(let why): failure = NetworkError(address: address, kind: .unreachable, message: why)
            case .timedOut: failure = NetworkError(address: address, kind: .timedOut, message: "connecting timed out")
            default: failure = NetworkError(address: address, kind: .closed, message: "connection closed (\(reason))")
            }
        }
        wake()
    }
}
