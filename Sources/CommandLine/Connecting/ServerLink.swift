internal import BSON
internal import Core
internal import Wire

/// A connection to one server with one command in flight: what diagnostics and benchmarks need, and no more.
///
/// Confined to its runtime's loop.
final class ServerLink: ConnectionDelegate {
    let endpoint: Endpoint
    private let runtime: any NodeRuntime
    private var connection: (any Connection)?
    private var waiter: UnsafeContinuation<Document, any Error>?
    private var lastRequest: Int32 = 0

    init(to endpoint: Endpoint, over transport: any Transport, _ runtime: any NodeRuntime) {
        self.endpoint = endpoint
        self.runtime = runtime
        connection = transport.connect(to: endpoint, timeout: .seconds(2), delegate: self)
    }

    /// Runs a command and returns its reply, whatever that says.
    /// - Throws: `CommandFailure` when the connection breaks or no reply comes in time.
    func run(_ command: Document, database: String = "admin", timeout: Duration = .seconds(30)) async throws -> Document
    {
        guard let connection else { throw CommandFailure("\(endpoint) has closed the connection") }
        lastRequest &+= 1
        let message = MessageWriter(message: connection.output, requestID: lastRequest, responseTo: 0)
        command.withView { for field in $0 { message.document.append(field.key, field.value) } }
        message.document.append("$db", string: database)
        message.finish()
        let timer = runtime.schedule(after: timeout) { [self] in fail("\(endpoint) did not answer within \(timeout)") }
        defer { runtime.cancel(timer) }
        return try await withUnsafeThrowingContinuation { continuation in
            waiter = continuation
            connection.flush()
        }
    }

    /// As `run`, and throws what the reply says when it is an error.
    func succeed(_ command: Document, database: String = "admin") async throws -> Document {
        let reply = try await run(command, database: database)
        guard reply["ok"]?.asNumber == 1 else {
            throw CommandFailure("\(endpoint) answers: \(reply["errmsg"]?.asString ?? "an error without a message")")
        }
        return reply
    }

    func close() { connection?.close(graceful: false) }

    private func fail(_ message: String) {
        waiter.take()?.resume(throwing: CommandFailure(message))
        connection?.close(graceful: false)
    }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        var reader = MessageReader(messages)
        while let message = reader.next() {
            do {
                let reply = try Reply(message)
                guard reply.responseTo == lastRequest else { continue }
                waiter.take()?.resume(returning: reply.body.document)
            } catch {
                fail("\(endpoint) sent what is no reply: \(error)")
            }
        }
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        self.connection = nil
        let why =
            switch reason {
            case .unreachable(let why), .failed(let why), .malformed(let why): why
            case .timedOut: "no connection in time"
            case .local, .remote, .tooSlow: "the connection was closed"
            }
        fail("\(endpoint): \(why)")
    }
}

/// What a command of this program could not do: one line for stderr, exit status 1.
struct CommandFailure: Error, CustomStringConvertible, Sendable {
    let description: String
    init(_ description: String) { self.description = description }
}
