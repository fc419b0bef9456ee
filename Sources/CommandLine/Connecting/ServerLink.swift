internal import BSON
internal import Core
internal import Wire

/// Commands to one server, over a channel whose failures become lines for people: for diagnostics and benchmarks.
///
/// Confined to its runtime's loop.
final class ServerLink {
    let endpoint: Endpoint
    private let channel: Channel

    init(to endpoint: Endpoint, over transport: any Transport, _ runtime: any NodeRuntime) {
        self.endpoint = endpoint
        channel = Channel(to: endpoint, over: transport, runtime, settings: .init(connectTimeout: .seconds(2)))
    }

    /// Runs a command and returns its reply, whatever that says.
    /// - Throws: `CommandFailure` when the connection breaks or no reply comes in time.
    func run(_ command: Document, database: String = "admin", timeout: Duration = .seconds(30)) async throws -> Document
    {
        do {
            return try await channel.call(timeout: timeout, database: database) { writer in
                command.withView { for field in $0 { writer.append(field.key, field.value) } }
            }
        } catch {
            throw CommandFailure("\(endpoint): \(Self.reason(error, timeout))")
        }
    }

    private static func reason(_ error: ChannelError, _ timeout: Duration) -> String {
        switch error {
        case .timedOut: "no answer within \(timeout)"
        case .unreadable(let why), .closed(.unreachable(let why)), .closed(.failed(let why)),
            .closed(.malformed(let why)):
            why
        case .closed(.timedOut): "no connection in time"
        case .closed(.local), .closed(.remote), .closed(.tooSlow): "the connection was closed"
        case .full: "too many commands are under way"
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

    func close() { channel.close() }
}

/// What a command of this program could not do: one line for stderr, exit status 1.
struct CommandFailure: Error, CustomStringConvertible, Sendable {
    let description: String
    init(_ description: String) { self.description = description }
}
