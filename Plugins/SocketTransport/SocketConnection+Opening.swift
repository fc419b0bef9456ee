import CUV
import Core
import LiveRuntime

/// What an outgoing connection needs until it is open: addresses to try, one after the other, and a timer.
final class Opening {
    var candidates: [SocketAddress] = []
    var timer: TimerToken?
    var lookUp: UnsafeMutablePointer<uv_getaddrinfo_t>?
    /// Closed gracefully while it was not open yet, with something to send.
    var closesWhenOpen = false
    /// Why the last candidate failed.
    var failure = "the name has no address"
    let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)

    deinit { request.deallocate() }

    func end(_ runtime: LiveRuntime) {
        if let timer { runtime.cancel(timer) }
        timer = nil
        // Its callback still comes, and frees it.
        if let lookUp { uv_cancel(UnsafeMutableRawPointer(lookUp).assumingMemoryBound(to: uv_req_t.self)) }
    }
}

extension SocketConnection {
    func start(to endpoint: Endpoint, timeout: Duration) {
        peerDescription = endpoint.description
        let opening = Opening()
        self.opening = opening
        opening.timer = transport.runtime.schedule(after: timeout) { [self] in abort(.timedOut) }
        switch SocketTarget(endpoint) {
        case .path(let path): connect(path: path)
        case .addresses(let addresses):
            opening.candidates = addresses
            connectToNext()
        case .name(let name): lookUp(name, port: endpoint.port)
        }
    }

    private func connect(path: String) {
        guard let opening else { return }
        guard path.utf8.count <= SocketTarget.pathBytesMax else {
            return abort(.unreachable("the path is longer than \(SocketTarget.pathBytesMax) bytes"))
        }
        isPath = true
        peerDescription = path
        let handle = StreamHandle.make(isPath: true, on: transport.runtime.loop.uv, owner: self)
        self.handle = handle
        uv_pipe_connect(opening.request, StreamHandle.asPipe(handle), path) { SocketConnection.connected($0!, $1) }
    }

    private func connectToNext() {
        guard state == .opening, let opening else { return }
        while !opening.candidates.isEmpty {
            let address = opening.candidates.removeFirst()
            let handle = StreamHandle.make(isPath: false, on: transport.runtime.loop.uv, owner: self)
            let status = address.withPointer {
                uv_tcp_connect(opening.request, StreamHandle.asTCP(handle), $0) { SocketConnection.connected($0!, $1) }
            }
            if status == 0 {
                self.handle = handle
                peerDescription = address.description
                return
            }
            opening.failure = uvMessage(status)
            StreamHandle.discard(handle)
        }
        abort(.unreachable(opening.failure))
    }

    private static func connected(_ request: UnsafeMutablePointer<uv_connect_t>, _ status: Int32) {
        let connection = SocketConnection.of(request.pointee.handle.pointee.data)
        // A connection that was closed meanwhile hears of it from its close.
        guard connection.state == .opening, let opening = connection.opening, let handle = connection.handle else {
            return
        }
        let loop = connection.transport.runtime.loop
        loop.callbackBegan()
        if status == 0 {
            opening.end(connection.transport.runtime)
            connection.opened()
            if opening.closesWhenOpen { connection.drain() }
            connection.opening = nil
        } else {
            opening.failure = uvMessage(status)
            connection.handle = nil
            StreamHandle.discard(handle)
            connection.connectToNext()
        }
        loop.callbackEnded()
    }

    private func lookUp(_ name: String, port: Int) {
        guard let opening else { return }
        guard (0...65535).contains(port) else { return abort(.unreachable("no such port: \(port)")) }
        let request = UnsafeMutablePointer<uv_getaddrinfo_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        let status = uv_getaddrinfo(
            transport.runtime.loop.uv, request,
            { request, status, found in
                let connection = Unmanaged<SocketConnection>.fromOpaque(request!.pointee.data).takeRetainedValue()
                request!.deallocate()
                connection.lookedUp(status, found)
                uv_freeaddrinfo(found)
            }, name, String(port), &hints)
        if status == 0 {
            opening.lookUp = request
        } else {
            Unmanaged<SocketConnection>.fromOpaque(request.pointee.data).release()
            request.deallocate()
            abort(.unreachable(uvMessage(status)))
        }
    }

    private func lookedUp(_ status: Int32, _ found: UnsafeMutablePointer<addrinfo>?) {
        opening?.lookUp = nil
        guard state == .opening, let opening else { return }
        guard status == 0 else { return abort(.unreachable(uvMessage(status))) }
        var next = found
        while let entry = next {
            if let address = entry.pointee.ai_addr { opening.candidates.append(SocketAddress(copying: address)) }
            next = entry.pointee.ai_next
        }
        connectToNext()
    }
}
