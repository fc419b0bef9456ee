internal import Core
internal import EchoService
internal import Frontend
internal import Glibc
internal import LiveRuntime
internal import SocketTransport

// Runs the echo service at a free port, which is printed, until standard input ends: for PyMongo to talk to.
let loop = try EventLoop.start(name: "echo", log: LineLog())
let port = try await loop.call {
    let runtime = LiveRuntime(loop: loop)
    let service = EchoService(
        runtime: runtime, transport: SocketTransport(runtime: runtime),
        settings: FrontendSettings(endpoint: Endpoint(host: "127.0.0.1", port: 0)))
    try service.frontend.listen()
    // Lives as long as the process.
    _ = Unmanaged.passRetained(service)
    return service.frontend.endpoint.port
}
print(port)
fflush(nil)
while getchar() != EOF {}
