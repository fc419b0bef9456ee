package import BSON
package import Core
package import Frontend

/// The smallest service: it has `ping` and `echo`, and no data. What stands behind a frontend need not be a data node.
package final class EchoService: Service {
    package let frontend: Frontend
    /// Whom it takes everybody for who introduces himself as a member.
    package var member: PeerIdentity?
    /// The waits that were given up.
    package private(set) var abandoned: [UInt64] = []

    package init(runtime: any NodeRuntime, transport: any Transport, settings: FrontendSettings) {
        frontend = Frontend(runtime: runtime, transport: transport, settings: settings)
        frontend.service = self
        for command in Self.commands { frontend.commands.add(command) { FrontendCommand($0, as: $1) } }
    }

    private static var commands: [Command<RequestContext>] {
        [
            Command("ping", .empty, help: "answers") { _ in .done },
            Command("echo", .empty, help: "answers what it was sent") { context in
                context.writer.append("echo", context.argument)
                return .done
            },
            Command("echoLater", .empty, help: "answers what it was sent, after others have run") { context in
                .later {
                    await context.yieldLoop()
                    context.writer.append("echo", context.argument)
                }
            },
        ]
    }

    package func admit(_ request: RequestContext) throws(ServerError) {}
    package func meaning(ofMissing name: KeyView) -> StaticString? { nil }
    package func advanceClusterTime(to time: Timestamp) throws(ServerError) {}
    package func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?) {}
    package func appendHello(to writer: DocumentWriter, legacy: Bool) {
        writer.append(legacy ? "ismaster" : "isWritablePrimary", bool: true)
    }
    package func identify(_ hello: DocumentView) throws(ServerError) -> PeerIdentity {
        guard let member else { throw ServerError(.noReplicationEnabled, "an echo has no members") }
        return member
    }
    package func abandonWait(_ id: UInt64, because reason: ServerError) { abandoned.append(id) }
    package func fail(_ error: any Error) { frontend.close(graceful: false) }
}
