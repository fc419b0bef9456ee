import CUV
import Core
import Glibc
import LiveRuntime

/// A listening socket.
final class SocketListener: Listener {
    private(set) var endpoint: Endpoint
    private let transport: SocketTransport
    private let isPath: Bool
    private var accept: ((any Connection) -> (any ConnectionDelegate)?)?
    private var handle: StreamHandle.Pointer?

    init(
        transport: SocketTransport, endpoint: Endpoint,
        accept: @escaping (any Connection) -> (any ConnectionDelegate)?
    ) throws(TransportError) {
        self.transport = transport
        self.endpoint = endpoint
        self.accept = accept
        switch SocketTarget(endpoint) {
        case .path(let path):
            isPath = true
            try listen(path: path)
        case .addresses(let addresses):
            isPath = false
            try listen(address: addresses[0])
        case .name(let name):
            isPath = false
            try listen(address: Self.lookUp(name, endpoint))
        }
    }

    func close() {
        guard let handle else { return }
        self.handle = nil
        accept = nil
        transport.forget(self)
        StreamHandle.discard(handle)
    }

    private func listen(address: SocketAddress) throws(TransportError) {
        let handle = StreamHandle.make(isPath: false, on: transport.runtime.loop.uv, owner: self)
        // Apart from IPv4, so that both can listen on one port.
        let flags = address.isIPv6 ? UInt32(UV_TCP_IPV6ONLY.rawValue) : 0
        var status = address.withPointer { uv_tcp_bind(StreamHandle.asTCP(handle), $0, flags) }
        if status == 0 { status = listen(handle) }
        guard status == 0 else {
            StreamHandle.discard(handle)
            throw failure(status)
        }
        self.handle = handle
        if let real = StreamHandle.localAddress(handle) { endpoint.port = real.port }
    }

    private func listen(path: String) throws(TransportError) {
        guard path.utf8.count <= SocketTarget.pathBytesMax else {
            throw .unreachable(endpoint, "the path is longer than \(SocketTarget.pathBytesMax) bytes")
        }
        let handle = StreamHandle.make(isPath: true, on: transport.runtime.loop.uv, owner: self)
        var status = uv_pipe_bind(StreamHandle.asPipe(handle), path)
        if status == UV_EADDRINUSE.rawValue, UnixPath.isAbandoned(path), unlink(path) == 0 {
            status = uv_pipe_bind(StreamHandle.asPipe(handle), path)
        }
        if status == 0 { status = listen(handle) }
        guard status == 0 else {
            StreamHandle.discard(handle)
            throw failure(status)
        }
        self.handle = handle
    }

    private func listen(_ handle: StreamHandle.Pointer) -> Int32 {
        uv_listen(handle, Int32(Limits.listenBacklog)) { server, status in
            Unmanaged<SocketListener>.fromOpaque(server!.pointee.data).takeUnretainedValue().acceptNext(status)
        }
    }

    private func acceptNext(_ status: Int32) {
        guard let handle, let accept else { return }
        guard status == 0 else {
            transport.runtime.log.log(.warning, "socket", "cannot accept on \(endpoint): \(uvMessage(status))")
            return
        }
        let loop = transport.runtime.loop
        let stream = StreamHandle.make(isPath: isPath, on: loop.uv, owner: nil)
        guard uv_accept(handle, stream) == 0 else {
            StreamHandle.discard(stream)
            return
        }
        guard let connection = transport.admit(stream, isPath: isPath) else { return }
        loop.callbackBegan()
        connection.accepted(by: accept)
        loop.callbackEnded()
    }

    private func failure(_ status: Int32) -> TransportError {
        status == UV_EADDRINUSE.rawValue ? .addressInUse(endpoint) : .unreachable(endpoint, uvMessage(status))
    }

    /// Looks a name up, waiting for the answer: a listener is made at the start of a node, before it serves anyone.
    private static func lookUp(_ name: String, _ endpoint: Endpoint) throws(TransportError) -> SocketAddress {
        guard (0...65535).contains(endpoint.port) else { throw .unreachable(endpoint, "no such port") }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, String(endpoint.port), &hints, &found)
        defer { if let found { freeaddrinfo(found) } }
        guard status == 0, let address = found?.pointee.ai_addr else {
            throw .unreachable(endpoint, String(cString: gai_strerror(status)))
        }
        return SocketAddress(copying: address)
    }
}

/// What a process that was killed leaves behind: the file of a Unix socket on which nobody listens any more.
private enum UnixPath {
    static func isAbandoned(_ path: String) -> Bool {
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            room.copyBytes(from: path.utf8.prefix(SocketTarget.pathBytesMax))
        }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return status != 0 && errno == ECONNREFUSED
    }
}
