internal import BSON
internal import Core
internal import Frontend
internal import Replication

/// What members say to one another: heartbeats, votes, positions. Clients never send these.
enum MemberCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("replSetHeartbeat", [.memberOnly, .adminOnly], .memberMessage, help: "a sign of life, for members")
            { context in
                let request = try HeartbeatRequest(decoding: context.body)
                return try answer(context) { role, id in
                    role.drive { member, now in member.onHeartbeatRequest(request, id, now: now) }
                }
            })
        table.add(
            Command(
                "replSetRequestVotes", [.memberOnly, .adminOnly], .memberMessage, help: "asks for a vote, for members"
            ) { context in
                let request = try VoteRequest(decoding: context.body)
                return try answer(context) { role, id in
                    role.drive { member, now in member.onVoteRequest(request, id, now: now) }
                }
            })
        table.add(
            Command(
                "replSetUpdatePosition", [.memberOnly, .adminOnly], .memberMessage,
                help: "how far members are, for members"
            ) {
                context in
                let message = try UpdatePosition(decoding: context.body)
                return try answer(context) { role, id in
                    role.drive { member, now in member.onUpdatePosition(message, id, now: now) }
                }
            })
    }

    /// Raises an event that a directive answers: within the call as a rule, later when something must be durable first.
    static func answer(
        _ context: CommandContext, _ raise: (ReplicaSetRole, RequestID) -> Void
    ) throws -> CommandOutcome {
        guard let role = context.node.replication else { throw OplogServing.notAMember() }
        let pending = PendingAnswer()
        raise(role, role.register { pending.deliver($0) })
        if let reply = pending.reply {
            try write(reply, context)
            return .done
        }
        return .later { try write(await pending.wait(), context) }
    }

    private static func write(_ reply: ReplicaSetRole.ReplyToRequest, _ context: CommandContext) throws {
        switch reply {
        case .heartbeat(let response): response.encode(to: context.writer)
        case .vote(let response): response.encode(to: context.writer)
        case .done(let error): if let error { throw error }
        }
    }
}

/// An answer that comes now or later, taken by one who asks now or waits.
private final class PendingAnswer {
    private(set) var reply: ReplicaSetRole.ReplyToRequest?
    private var waiter: UnsafeContinuation<ReplicaSetRole.ReplyToRequest, Never>?

    func deliver(_ reply: ReplicaSetRole.ReplyToRequest) {
        if let waiter {
            self.waiter = nil
            waiter.resume(returning: reply)
        } else {
            self.reply = reply
        }
    }

    func wait() async -> ReplicaSetRole.ReplyToRequest {
        if let reply { return reply }
        return await withUnsafeContinuation { waiter = $0 }
    }
}
