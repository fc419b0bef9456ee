internal import BSON
internal import Core
internal import Frontend
internal import Replication

/// `shutdown`: ends the node in good order. A primary first sees that another member can take its place.
enum ShutdownCommand {
    static func add(to table: inout CommandSet) {
        table.add(Command("shutdown", [.adminOnly], .shutdown, help: "ends the node in good order", run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        var force = false
        if let value = context.body["force"] {
            guard let flag = value.asBool ?? value.asNumber.map({ $0 != 0 }) else {
                throw wrongType("shutdown.force", value, "bool")
            }
            force = flag
        }
        var timeout = Limits.shutdownCatchUpDefault
        if let value = context.body["timeoutSecs"] {
            guard let number = value.asNumber else { throw wrongType("shutdown.timeoutSecs", value, "long") }
            guard number >= 0, number <= Double(Int32.max) else {
                throw ServerError(.badValue, "shutdown.timeoutSecs must be from 0 to \(Int32.max)")
            }
            timeout = .milliseconds(Int64(number * 1000))
        }
        return .later {
            if let role = context.node.replication, role.acceptsWrites {
                try await role.stepDownToStop(catchUpFor: timeout, force: force)
            }
            // The client learns of it by the end of its connection, as from MongoDB.
            context.connection.close(because: "the command shutdown ends the node")
            context.node.stopOnRequest()
        }
    }
}

extension Node {
    /// Ends the node as whoever holds it would; by itself, when nobody has said how.
    func stopOnRequest() {
        if let onStopRequest { return onStopRequest() }
        runtime.spawn("shutdown") { [self] in await stop() }
    }
}

extension ReplicaSetRole {
    /// Steps down, and waits, not for long, until another member is primary.
    /// - Throws: `ExceededTimeLimit` when no member that could take over has caught up in time and it is not forced.
    func stepDownToStop(catchUpFor period: Duration, force: Bool) async throws(ServerError) {
        // Nobody there to take over: waiting would not change it.
        if force, !member.couldHandOver { return }
        reportProgress()
        let error = await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            let id = register { reply in
                if case .done(let error) = reply {
                    continuation.resume(returning: error)
                } else {
                    continuation.resume(returning: nil)
                }
            }
            drive { member, now in
                member.onStepDownCommand(
                    id, stepDownFor: period + Limits.handOverFreeze, catchUpFor: period, force: force, now: now)
            }
        }
        if let error, !force { throw error }
        await awaitOtherPrimary(until: runtime.now + Limits.handOverMax)
    }
}
