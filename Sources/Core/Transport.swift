public import BSON

/// Where a node listens or a peer is reached: `host:port`, or the path of a Unix socket.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    /// 0 lets the transport choose when listening.
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Parses `host:port` (default port 27017) or `[v6]:port`; nil when the port is not a number in 1…65535.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else {
            guard !text.isEmpty else { return nil }
            self.init(host: text, port: 27017)
            return
        }
        guard let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port), colon != text.startIndex
        else { return nil }
        self.init(host: String(text[..<colon]), port: port)
    }

    public var description: String { "\(host):\(port)" }
}

/// **Plug point.** Moves whole messages between nodes and clients.
///
/// Purpose: a node is given one transport; it listens for clients and other members and connects to members through it.
///
/// Contract:
/// - A message is framed by its first four bytes: its length as a little-endian int32, these four included, from 16 to
///   `Limits.messageBytesMax`. Any other length closes the connection with `.malformed`; nothing is allocated for it.
/// - All calls into a transport, and all calls of it to delegates, happen on the loop of the runtime it was made for.
/// - Messages of one connection arrive whole, once and in the order in which they were sent, or the connection closes.
/// - A closed connection is reported at once and exactly once, also when this side closes it, never inside `close`.
///
/// How to implement: see `Plugins/LoopbackTransport` for the smallest, `Plugins/SocketTransport` for sockets.
/// You are guaranteed: delegates outlive their connections; `flush` is called after each run of appends.
/// Conformance suite: `TransportConformance` of the Conformance module.
public protocol Transport: AnyObject {
    /// Starts to listen. `accept` is called for each new connection and returns its delegate, or nil to refuse it.
    /// - Throws: `TransportError.addressInUse`, `.unreachable`.
    func listen(
        on endpoint: Endpoint, accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws -> any Listener

    /// Connects. The connection may be used (and closed) at once; messages wait until it is open. `didOpen` or
    /// `didClose` of the delegate says how it went; a connection that is not open after `timeout` closes with
    /// `.timedOut`.
    func connect(to endpoint: Endpoint, timeout: Duration, delegate: any ConnectionDelegate) -> any Connection
}

/// A listening socket, or what stands for one.
public protocol Listener: AnyObject {
    /// Where it really listens: the port is never 0.
    var endpoint: Endpoint { get }
    /// Stops accepting. Connections that were accepted stay.
    func close()
}

/// One connection. Not a plug point by itself: a `Transport` brings its own.
public protocol Connection: AnyObject {
    /// Unique within the transport, counting from 1.
    var id: UInt64 { get }
    /// The other side, for people and logs.
    var peerDescription: String { get }
    /// Append whole messages here, then call `flush`. Never taken apart by the caller.
    var output: ByteBuffer { get }
    /// Sends what was appended. What the peer does not take yet is kept; above `Limits.connectionOutputBytesMax` of it
    /// the connection closes with `.tooSlow`.
    func flush()
    /// Bytes that the peer has not taken yet.
    var pendingOutputBytes: Int { get }
    /// Closes after what was flushed has been sent (`graceful`) or at once. Idempotent.
    func close(graceful: Bool)
    /// Stops or resumes reading from the peer, for back-pressure.
    func setReading(_ enabled: Bool)
}

/// Takes what arrives on a connection.
public protocol ConnectionDelegate: AnyObject {
    /// The connection is open. Called once for outgoing connections, not for accepted ones.
    func connectionDidOpen(_ connection: any Connection)
    /// One or more whole messages, one behind the other. The bytes are valid during the call.
    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer)
    /// The connection is closed; nothing more comes from it.
    func connectionDidClose(_ connection: any Connection, reason: CloseReason)
}

extension ConnectionDelegate {
    public func connectionDidOpen(_ connection: any Connection) {}
}

/// Why a connection closed.
public enum CloseReason: Sendable, Equatable {
    /// This side closed it.
    case local
    /// The other side closed it.
    case remote
    /// Never opened: nobody listens there, or the name is unknown.
    case unreachable(String)
    case timedOut
    /// Broken by an error of the system.
    case failed(String)
    /// The framing was broken.
    case malformed(String)
    /// The peer did not take its replies.
    case tooSlow
}

/// Why a transport could not listen.
public enum TransportError: Error, Sendable, CustomStringConvertible {
    case addressInUse(Endpoint)
    case unreachable(Endpoint, String)

    public var description: String {
        switch self {
        case .addressInUse(let endpoint): "address already in use: \(endpoint)"
        case .unreachable(let endpoint, let why): "cannot listen on \(endpoint): \(why)"
        }
    }
}
