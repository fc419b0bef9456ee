import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

/// One member of a set, with the others played by the test.
struct MemberFixture {
    var member: Member
    var now = Instant(nanoseconds: 1_000_000_000)
    private var requestNumber: UInt64 = 100
    private var reportNumber: UInt64 = 1

    static func incarnation(_ id: MemberID) -> Incarnation {
        Incarnation(startedAt: WallTime(milliseconds: 1000), nonce: UInt64(id) + 1)
    }

    static func config(_ count: Int, _ change: (inout ReplicaSetConfig) -> Void = { _ in }) -> ReplicaSetConfig {
        var config = ReplicaSetConfig(
            setName: "rs",
            members: (0..<count).map { id in
                var member = MemberConfig(id: MemberID(id), host: "m\(id):27017")
                member.incarnation = incarnation(MemberID(id))
                return member
            })
        config.term = 1
        config.settings.electionTimeoutMillis = 1000
        config.settings.heartbeatIntervalMillis = 200
        change(&config)
        return config
    }

    /// Member 0 of `count`, SECONDARY with its last entry at `last`.
    /// - Parameter isInitiated: false for one that has no configuration yet.
    init(
        _ count: Int = 3, isInitiated: Bool = true, last: OpTime = OpTime(1, 10),
        policy: any ElectionPolicy = FixedElectionPolicy(host: "nobody"),
        syncSourceSelector: (any SyncSourceSelecting)? = nil, lastVote: LastVote? = nil, commitPoint: OpTime = .null,
        _ change: (inout ReplicaSetConfig) -> Void = { _ in }
    ) {
        member = Member(
            MemberStart(
                setName: "rs", ownHosts: ["m0:27017"], incarnation: Self.incarnation(0),
                config: isInitiated ? Self.config(count, change) : nil, lastVote: lastVote,
                progress: Progress(all: last), commitPoint: commitPoint, seed: 1),
            policy: policy, syncSourceSelector: syncSourceSelector)
        _ = member.onStart(now: now)
    }

    mutating func request() -> RequestID {
        requestNumber += 1
        return RequestID(requestNumber)
    }

    mutating func pass(_ span: Duration) -> [Directive] {
        now = now + span
        return member.onTick(now: now)
    }

    mutating func report(
        _ id: MemberID, state: MemberState = .secondary, term: Int64? = nil, at optime: OpTime = OpTime(1, 10),
        commitPoint: OpTime = .null, incarnation: Incarnation? = nil, startCount: Int64 = 1
    ) -> MemberReport {
        reportNumber += 1
        return MemberReport(
            incarnation: incarnation ?? Self.incarnation(id), startCount: startCount, isVolatile: false, state: state,
            term: term ?? member.term,
            config: member.config?.configVersion ?? .none, progress: Progress(all: optime), commitPoint: commitPoint,
            primaryID: state == .primary ? id : nil, syncSource: nil, electionTime: nil,
            isElectable: state == .secondary,
            run: UInt64(id), number: reportNumber)
    }

    /// Member `id` answers the heartbeat that is under way to it, sending one first if there is none.
    @discardableResult
    mutating func answer(_ id: MemberID, _ report: MemberReport) -> [Directive] {
        let index = member.config!.index(of: id)!
        if member.peers[index].exchange == nil {
            now = max(now, member.peers[index].nextHeartbeat)
            _ = member.onTick(now: now)
        }
        guard let exchange = member.peers[index].exchange else { return [] }
        return member.onHeartbeatResponse(exchange, HeartbeatResponse(setName: "rs", report: report), now: now)
    }

    /// All others answer as secondaries.
    mutating func hearEveryone(at optime: OpTime = OpTime(1, 10)) {
        for index in 1..<member.peers.count { answer(MemberID(index), report(MemberID(index), at: optime)) }
    }

    @discardableResult
    mutating func failHeartbeats(of id: MemberID) -> [Directive] {
        var directives: [Directive] = []
        let index = member.config!.index(of: id)!
        if member.peers[index].exchange == nil {
            now = max(now, member.peers[index].nextHeartbeat)
            directives += member.onTick(now: now)
        }
        while let exchange = member.peers[index].exchange {
            directives += member.onHeartbeatFailure(exchange, ServerError(.hostUnreachable, "gone"), now: now)
        }
        return directives
    }

    /// Tells it to reconfigure; nobody answers at hosts that are new.
    mutating func reconfigure(_ next: ReplicaSetConfig, force: Bool = false) -> [Directive] {
        let id = request()
        var directives = member.onReconfigCommand(id, next, force: force, deadline: nil, now: now)
        for case .sendHeartbeat(_, let question, let exchange, _) in directives where question.purpose == .rollCall {
            directives += member.onHeartbeatFailure(exchange, ServerError(.hostUnreachable, "refused"), now: now)
        }
        return directives
    }

    // MARK: Elections

    mutating func stand(skipDryRun: Bool = true) -> [Directive] {
        let id = request()
        return member.onStepUpCommand(id, skipDryRun: skipDryRun, now: now)
    }

    mutating func persist(_ directives: [Directive]) -> [Directive] {
        var results: [Directive] = []
        for directive in directives {
            switch directive {
            case .persistVote(_, let token): results += member.onVotePersisted(token, now: now)
            case .persistConfig(_, let token): results += member.onConfigPersisted(token, now: now)
            default: break
            }
        }
        return results
    }

    mutating func vote(_ id: MemberID, granted: Bool = true, term: Int64? = nil, incarnation: Incarnation? = nil)
        -> [Directive]
    {
        guard let exchange = member.candidacy?.exchange else { return [] }
        let response = VoteResponse(
            term: term ?? member.term, isGranted: granted, reason: granted ? "" : "no",
            incarnation: incarnation ?? Self.incarnation(id))
        return member.onVoteResponse(exchange, from: id, response, now: now)
    }

    /// Makes the member a primary that takes writes; its first entry is at (term, 20).
    mutating func becomePrimary() {
        hearEveryone()
        _ = persist(stand())
        for index in 1..<member.peers.count where !member.isPrimary { _ = vote(MemberID(index)) }
        hearEveryone()
        var directives = member.onDrained(term: member.term, now: now)
        directives += member.onNoOpWritten(
            .newPrimary(term: member.term), OpTime(member.term, 20), at: WallTime(milliseconds: 7), now: now)
        _ = persist(directives)
        _ = member.onLocalProgress(Progress(all: OpTime(member.term, 20)), now: now)
        hearEveryone(at: OpTime(1, 10))
    }

    mutating func requestVote(
        _ id: MemberID = 1, term: Int64 = 2, last: OpTime = OpTime(1, 10), dryRun: Bool = false,
        config: ConfigVersion? = nil, reason: ElectionReason = .electionTimeout, incarnation: Incarnation? = nil
    ) -> [Directive] {
        let request = VoteRequest(
            setName: "rs", isDryRun: dryRun, term: term, candidateID: id,
            incarnation: incarnation ?? Self.incarnation(id), config: config ?? member.config!.configVersion,
            lastWritten: last, reason: reason)
        let requestID = self.request()
        return member.onVoteRequest(request, requestID, now: now)
    }

    mutating func position(
        _ id: MemberID, _ progress: Progress, term: Int64? = nil, incarnation: Incarnation? = nil, startCount: Int64 = 1
    ) -> [Directive] {
        let message = UpdatePosition(
            setName: "rs", term: term ?? member.term,
            positions: [
                .init(
                    memberID: id, incarnation: incarnation ?? Self.incarnation(id), startCount: startCount,
                    config: member.config!.configVersion,
                    progress: progress)
            ])
        let requestID = request()
        return member.onUpdatePosition(message, requestID, now: now)
    }
}

extension SplitMix64 {
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

extension OpTime {
    init(_ term: Int64, _ increment: UInt32) {
        self.init(term: term, timestamp: Timestamp(seconds: 100, increment: increment))
    }
}

extension [Directive] {
    /// Whether one of them satisfies `matches`.
    func has(_ matches: (Directive) -> Bool) -> Bool { contains(where: matches) }

    var vote: VoteResponse? {
        for case .replyToVoteRequest(_, let response) in self { return response }
        return nil
    }
    var persistedVote: LastVote? {
        for case .persistVote(let vote, _) in self { return vote }
        return nil
    }
    var voteRequests: [VoteRequest] {
        compactMap { if case .sendVoteRequest(_, _, let request, _) = $0 { request } else { nil } }
    }
    var ignored: [Ignored] { compactMap { if case .ignored(let why) = $0 { why } else { nil } } }
    var steppedDown: StepDownReason? {
        for case .steppedDown(let reason) in self { return reason }
        return nil
    }
    var completions: [ServerError?] {
        compactMap { if case .complete(_, let error) = $0 { .some(error) } else { nil } }
    }
    var errorCode: ErrorCode? {
        for case .complete(_, let error?) in self { return error.code }
        return nil
    }
    var waiters: [UInt64: String] {
        var results: [UInt64: String] = [:]
        for case .completeWaiter(let id, let result) in self {
            switch result {
            case .satisfied: results[id.number] = "satisfied"
            case .timedOut: results[id.number] = "timed out"
            case .failed(let error): results[id.number] = error.code.name
            }
        }
        return results
    }
    var syncSource: MemberID?? {
        for case .setSyncSource(let id, _) in self { return .some(id) }
        return nil
    }
    var commitPoint: OpTime? {
        for case .commitPointAdvanced(let point) in self { return point }
        return nil
    }
    var topologyChanged: Bool { has { if case .topologyChanged = $0 { true } else { false } } }
}
