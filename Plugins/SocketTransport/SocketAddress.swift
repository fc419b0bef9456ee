import CUV
import Core
import Glibc

/// One address of the system: IPv4 or IPv6, with a port.
struct SocketAddress {
    private var storage: sockaddr_storage

    init(_ storage: sockaddr_storage) { self.storage = storage }

    init(copying address: UnsafePointer<sockaddr>) {
        storage = sockaddr_storage()
        let length =
            Int32(address.pointee.sa_family) == AF_INET6
            ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
        }
    }

    /// A numeric address, with or without brackets; nil when `host` is a name.
    init?(numeric host: String, port: Int) {
        guard let port = Int32(exactly: port), (0...65535).contains(port) else { return nil }
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        storage = sockaddr_storage()
        let isParsed = withUnsafeMutableBytes(of: &storage) { bytes in
            uv_ip4_addr(bare, port, bytes.baseAddress!.assumingMemoryBound(to: sockaddr_in.self)) == 0
                || uv_ip6_addr(bare, port, bytes.baseAddress!.assumingMemoryBound(to: sockaddr_in6.self)) == 0
        }
        guard isParsed else { return nil }
    }

    var isIPv6: Bool { Int32(storage.ss_family) == AF_INET6 }

    func withPointer<Answer>(_ body: (UnsafePointer<sockaddr>) -> Answer) -> Answer {
        withUnsafeBytes(of: storage) { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self)) }
    }

    var port: Int {
        withUnsafeBytes(of: storage) { bytes in
            // The port is at the same place in both families.
            Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        }
    }

    /// `1.2.3.4:5` or `[::1]:5`.
    var description: String {
        var text = [CChar](repeating: 0, count: 64)
        let status = withPointer { uv_ip_name($0, &text, text.count) }
        guard status == 0 else { return "unknown" }
        let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// What an endpoint names, before any look-up.
enum SocketTarget {
    /// A Unix socket.
    case path(String)
    /// Addresses to try, one after the other.
    case addresses([SocketAddress])
    /// A name to look up.
    case name(String)

    /// Longest path that fits the system's address of a Unix socket.
    static let pathBytesMax = 107

    init(_ endpoint: Endpoint) {
        if endpoint.host.hasPrefix("/") {
            self = .path(endpoint.host)
        } else if let address = SocketAddress(numeric: endpoint.host, port: endpoint.port) {
            self = .addresses([address])
        } else if endpoint.host == "localhost" {
            self = .addresses(["127.0.0.1", "::1"].compactMap { SocketAddress(numeric: $0, port: endpoint.port) })
        } else {
            self = .name(endpoint.host)
        }
    }
}

/// Memory of one libuv stream, TCP or Unix, and its way back to the object it belongs to.
enum StreamHandle {
    typealias Pointer = UnsafeMutablePointer<uv_stream_t>

    /// An initialised handle, not yet connected. It holds `owner` until its memory is given back.
    static func make(isPath: Bool, on loop: UnsafeMutablePointer<uv_loop_t>, owner: AnyObject?) -> Pointer {
        let size = max(MemoryLayout<uv_tcp_t>.size, MemoryLayout<uv_pipe_t>.size)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        if isPath {
            uv_pipe_init(loop, memory.assumingMemoryBound(to: uv_pipe_t.self), 0)
        } else {
            uv_tcp_init(loop, memory.assumingMemoryBound(to: uv_tcp_t.self))
        }
        let handle = memory.assumingMemoryBound(to: uv_stream_t.self)
        handle.pointee.data = nil
        if let owner { hold(handle, owner) }
        return handle
    }

    static func hold(_ handle: Pointer, _ owner: AnyObject) {
        handle.pointee.data = Unmanaged.passRetained(owner).toOpaque()
    }

    /// Closes the handle and gives its memory back, reporting to nobody.
    static func discard(_ handle: Pointer) {
        uv_close(asHandle(handle)) { StreamHandle.free($0!) }
    }

    /// Gives back the memory of a closed handle and lets go of its owner.
    static func free(_ handle: UnsafeMutablePointer<uv_handle_t>) {
        if let owner = handle.pointee.data { Unmanaged<AnyObject>.fromOpaque(owner).release() }
        UnsafeMutableRawPointer(handle).deallocate()
    }

    static func asHandle(_ handle: Pointer) -> UnsafeMutablePointer<uv_handle_t> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
    }
    static func asTCP(_ handle: Pointer) -> UnsafeMutablePointer<uv_tcp_t> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_tcp_t.self)
    }
    static func asPipe(_ handle: Pointer) -> UnsafeMutablePointer<uv_pipe_t> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_pipe_t.self)
    }

    /// Small messages go out at once, and a peer whose machine is gone is noticed.
    static func tune(_ handle: Pointer, isPath: Bool) {
        guard !isPath else { return }
        uv_tcp_nodelay(asTCP(handle), 1)
        uv_tcp_keepalive(asTCP(handle), 1, UInt32(Limits.keepAliveIdle.wholeMilliseconds / 1000))
    }

    static func localAddress(_ handle: Pointer) -> SocketAddress? {
        address { uv_tcp_getsockname(asTCP(handle), $0, $1) }
    }
    static func peerAddress(_ handle: Pointer) -> SocketAddress? {
        address { uv_tcp_getpeername(asTCP(handle), $0, $1) }
    }

    private static func address(
        _ ask: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<Int32>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = Int32(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutableBytes(of: &storage) {
            ask($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        return status == 0 ? SocketAddress(storage) : nil
    }
}
