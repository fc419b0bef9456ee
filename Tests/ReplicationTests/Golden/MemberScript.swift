import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

/// Scripts of `Member`: member 0 of a set, with the others played by the script. What a directive asks of the shell is
/// done at once where it is about durability; progress is told by the script.
struct MemberScript {
    private var it = MemberFixture()

    mutating func run(_ command: GoldenFile.Command) throws -> [String] {
        try answer(command).map(\.golden).filter { !$0.isEmpty }
    }

    private mutating func answer(_ command: GoldenFile.Command) throws -> [Directive] {
        switch command.name {
        case "member": try start(command)
        case "pass": return it.pass(try command.duration("time") ?? .zero)
        case "hear-all": it.hearEveryone(at: try command.optime("at") ?? OpTime(1, 10))
        case "primary": it.becomePrimary()
        case "hear":
            let id = try command.memberID()
            let report = it.report(
                id, state: try state(command) ?? .secondary, term: try command.integer("term"),
                at: try command.optime("at") ?? OpTime(1, 10),
                commitPoint: try command.optime("commit") ?? .null)
            return it.answer(id, report)
        case "lose": return it.failHeartbeats(of: try command.memberID())
        case "connection-lost": return it.member.onConnectionLost(try command.memberID(), now: it.now)
        case "stand": return durable(it.stand(skipDryRun: !command.has("dry-run")))
        case "vote":
            return durable(
                it.vote(
                    try command.memberID(), granted: !command.has("refused"),
                    term: try command.integer("term")))
        case "vote-request":
            return durable(
                it.requestVote(
                    try command.memberID(), term: try command.integer("term") ?? 2,
                    last: try command.optime("last") ?? OpTime(1, 10), dryRun: command.has("dry-run")))
        case "drained": return durable(it.member.onDrained(term: it.member.term, now: it.now))
        case "wrote-no-op":
            return it.member.onNoOpWritten(
                .newPrimary(term: it.member.term), try command.optime("at") ?? OpTime(it.member.term, 20),
                at: WallTime(milliseconds: 7), now: it.now)
        case "wrote":
            return it.member.onLocalProgress(
                Progress(all: try command.optime("at") ?? .null), now: it.now)
        case "position":
            return it.position(
                try command.memberID(), Progress(all: try command.optime("at") ?? .null),
                term: try command.integer("term"))
        case "await-majority":
            let waiter = WaiterID(UInt64(try command.integer("waiter") ?? 1))
            return it.member.onWaitForWriteConcern(
                waiter, target: try command.optime("at") ?? .null, .majority, deadline: nil, now: it.now)
        case "batch":
            let metadata = ReplicationMetadata.golden(
                term: try command.integer("term") ?? it.member.term,
                commitPoint: try command.optime("commit") ?? .null,
                applied: try command.optime("at") ?? OpTime(1, 10), isPrimary: command.has("of-primary"),
                primaryID: try command.integer("primary").map { MemberID($0) },
                syncSourceID: try command.integer("source").map { MemberID($0) })
            return it.member.onBatchFetched(from: try command.memberID(), metadata, now: it.now)
        case "source-failed":
            return it.member.onSyncSourceFailed(
                try command.memberID(), deniedFor: try command.duration("denied") ?? .zero, now: it.now)
        case "step-down":
            return it.member.onStepDownCommand(
                it.request(), stepDownFor: .seconds(60),
                catchUpFor: try command.duration("wait") ?? .seconds(10),
                force: command.has("force"), now: it.now)
        case "freeze":
            return it.member.onFreezeCommand(
                it.request(), for: try command.duration("time") ?? .zero, now: it.now)
        case "term": return it.member.onTermSeen(try command.integer("seen") ?? 0, now: it.now)
        case "state": return it.member.onFollowerState(try state(command) ?? .secondary, now: it.now)
        case "shutdown": return it.member.onShutdown(now: it.now)
        default: throw command.unknown
        }
        return []
    }

    private mutating func start(_ command: GoldenFile.Command) throws {
        let policies: [String: any ElectionPolicy] = [
            "mongodb": MongoDBElectionPolicy(), "fast": FastElectionPolicy(),
        ]
        let policy =
            command.fields["policy"].flatMap { policies[$0] } ?? FixedElectionPolicy(host: "nobody")
        it = MemberFixture(
            Int(try command.integer("of") ?? 3), last: try command.optime("last") ?? OpTime(1, 10),
            policy: policy
        ) {
            for index in $0.members.indices where command.has("arbiter-\(index)") {
                $0.members[index].isArbiter = true
                $0.members[index].priority = 0
            }
            if command.has("no-chaining") { $0.settings.chainingAllowed = false }
        }
    }

    private func state(_ command: GoldenFile.Command) throws -> MemberState? {
        let states: [String: MemberState] = [
            "primary": .primary, "secondary": .secondary, "recovering": .recovering,
            "rollback": .rollback,
            "startup2": .startup2, "arbiter": .arbiter,
        ]
        return command.arguments.lazy.compactMap { states[$0] }.first
    }

    /// With what follows when votes and configurations are durable.
    private mutating func durable(_ directives: [Directive]) -> [Directive] {
        directives + it.persist(directives)
    }
}

extension Directive {
    /// Empty for what says nothing here: each event makes some members' heartbeats due.
    var golden: String {
        switch self {
        case .sendHeartbeat(let host, let request, _, _):
            request.purpose == .signOfLife ? "heartbeat to \(host)" : "\(request.purpose) to \(host)"
        case .sendVoteRequest(let host, _, let request, _):
            "ask \(host) for \(request.isDryRun ? "a dry run" : "a vote") in term \(request.term), last "
                + "\(request.lastWritten.golden), because of \(request.reason.rawValue)"
        case .sendUpdatePosition(let host, let message):
            "positions to \(host): "
                + message.positions.map { "\($0.memberID) at \($0.progress.applied.golden)" }.joined(
                    separator: ", ")
        case .sendStepUp(let host, _): "hand over to \(host)"
        case .persistOwnHosts(let hosts): "remember names: \(hosts.joined(separator: ", "))"
        case .replyToHeartbeat(_, let response): "answer the heartbeat as \(response.report.state.name)"
        case .replyToVoteRequest(_, let response):
            response.isGranted
                ? "aye in term \(response.term)" : "no in term \(response.term): \(response.reason)"
        case .complete(_, let error): error.map { "refuse the command: \($0)" } ?? "the command is done"
        case .persistVote(let vote, _): "store the vote for \(vote.candidateID) in term \(vote.term)"
        case .persistConfig(let config, _): "store configuration \(config.configVersion)"
        case .initiate: "initiate"
        case .stateChanged(let state): "now \(state.name)"
        case .startInitialSync: "start an initial sync"
        case .setSyncSource(_, let host): "sync from \(host ?? "nobody")"
        case .drain(let term): "drain in term \(term)"
        case .writeNoOp(let purpose): "write a no-op: \(purpose)"
        case .stopWrites: "take no writes"
        case .startWrites(let term): "take writes in term \(term)"
        case .steppedDown(let reason): "stepped down: \(reason)"
        case .commitPointAdvanced(let point): "committed up to \(point.golden)"
        case .completeWaiter(let id, let result):
            switch result {
            case .satisfied: "waiter \(id.number) is satisfied"
            case .timedOut: "waiter \(id.number) timed out"
            case .failed(let error): "waiter \(id.number) failed: \(error)"
            }
        case .topologyChanged: "tell clients of the new topology"
        case .log(_, let line): "log: \(line)"
        case .ignored(let why): "ignored: \(why)"
        case .probe(let name): "probe: \(name)"
        }
    }
}
