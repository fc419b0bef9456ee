import BSON
import Core

@testable import Replication

/// A member with a modelled oplog, disk and fetcher around it: what the shell will be.
final class VirtualNode {
    let index: Int
    let policy: any ElectionPolicy
    unowned let world: VirtualWorld
    let isVolatile: Bool
    var host: String { "m\(index):27017" }
    var id: MemberID { MemberID(index) }

    // Durable.
    var log: [LogEntry] = []
    private var durableCount = 0
    private var config: ReplicaSetConfig?
    private var lastVote: LastVote?
    private var isInitialSyncUnderWay = false
    private(set) var incarnation = Incarnation(startedAt: WallTime(milliseconds: 1), nonce: 0)

    // One life of the process.
    private(set) var isAlive = false
    private(set) var member: Member
    private var life = 0
    private var fetch = 0
    private var timer = 0
    private var wakeUp = Instant.distantFuture
    private var isFlushing = false
    private var stopPoint: OpTime?
    private var isComplete = false
    private var requests: [RequestID: (VirtualNode, Question)] = [:]
    private var nextRequest: UInt64 = 1
    private var waiting: [WaiterID: Int] = [:]
    private var shown = MemberState.startup

    private enum Question {
        case heartbeat(Exchange)
        case vote(Exchange, VoteRequest)
        case positions
    }

    init(index: Int, policy: any ElectionPolicy, world: VirtualWorld, isVolatile: Bool) {
        self.index = index
        self.policy = policy
        self.world = world
        self.isVolatile = isVolatile
        member = Member(
            MemberStart(setName: "rs", ownHosts: [], incarnation: incarnation, seed: 0), policy: policy)
    }

    // MARK: Life

    func start() {
        isAlive = true
        life += 1
        if isVolatile || incarnation.nonce == 0 { drawIncarnation() }
        if isInitialSyncUnderWay {
            log = []
            durableCount = 0
            // It acknowledged what is thrown away now.
            if isComplete { drawIncarnation() }
        }
        isComplete = false
        stopPoint = nil
        shown = .startup
        member = Member(
            MemberStart(
                setName: "rs", ownHosts: [host], incarnation: incarnation, isVolatile: isVolatile, config: config,
                lastVote: lastVote, progress: Progress(all: log.last?.optime ?? .null), seed: world.random.next()),
            policy: policy)
        world.note("start \(id)")
        self.do { $0.onStart(now: self.world.now) }
        let life = life
        for other in world.nodes where other !== self && other.isAlive {
            world.schedule(after: .milliseconds(1)) { [self] in
                guard self.life == life, isAlive, other.isAlive else { return }
                other.do { $0.onConnectionOpened(self.id, now: self.world.now) }
                self.do { $0.onConnectionOpened(other.id, now: self.world.now) }
            }
        }
    }

    func crash() {
        world.note("crash \(id)")
        isAlive = false
        life += 1
        fetch += 1
        log.removeSubrange(durableCount...)
        if isVolatile {
            log = []
            durableCount = 0
            config = nil
            lastVote = nil
            isInitialSyncUnderWay = false
        }
        isFlushing = false
        requests = [:]
        waiting = [:]
        for other in world.nodes where other !== self && other.isAlive && world.canReach(index, other.index) {
            let life = other.life
            world.schedule(after: .microseconds(200)) { [self] in
                guard other.isAlive, other.life == life else { return }
                other.do { $0.onConnectionLost(self.id, now: self.world.now) }
            }
        }
    }

    /// Calls the member and carries out what it says.
    func `do`(_ event: (inout Member) -> [Directive]) {
        let before = member.commitPoint
        let life = member.incarnation
        let directives = event(&member)
        do { try member.checkInvariants() } catch { world.fail("member \(id): \(error)") }
        // Who throws its data away, to be cloned anew, begins with nothing under another name.
        if member.commitPoint < before, member.incarnation == life {
            world.fail("the commit point of \(id) falls from \(before) to \(member.commitPoint)")
        }
        let run = self.life
        for directive in directives where self.life == run { carryOut(directive) }
        setTimer()
    }

    private func setTimer() {
        let next = max(member.nextWakeUp(now: world.now), world.now + .microseconds(1))
        guard isAlive, next != wakeUp, next != .distantFuture else { return }
        wakeUp = next
        timer += 1
        let token = timer
        world.schedule(after: next - world.now) { [self] in
            guard token == timer, isAlive else { return }
            wakeUp = .distantFuture
            self.do { $0.onTick(now: self.world.now) }
        }
    }

    // MARK: Directives

    private func carryOut(_ directive: Directive) {
        switch directive {
        case .sendHeartbeat(let to, let request, let exchange, _):
            ask(to, .heartbeat(exchange)) { $0.onHeartbeatRequest(request, $1, now: self.world.now) }
        case .sendVoteRequest(let to, _, let request, let exchange):
            if !request.isDryRun { world.noteVote(by: self, term: request.term, for: id) }
            ask(to, .vote(exchange, request)) { $0.onVoteRequest(request, $1, now: self.world.now) }
        case .sendUpdatePosition(let to, let message):
            ask(to, .positions) { $0.onUpdatePosition(message, $1, now: self.world.now) }
        case .persistOwnHosts: break
        case .sendStepUp(let to, _):
            ask(to, .positions) { $0.onStepUpCommand($1, skipDryRun: true, now: self.world.now) }
        case .replyToHeartbeat(let id, let response): reply(id) { $0.take(response, for: $1) }
        case .replyToVoteRequest(let id, let response):
            if case .vote(_, let request)? = requests[id]?.1, response.isGranted, !request.isDryRun {
                world.noteVote(by: self, term: request.term, for: request.candidateID)
            }
            reply(id) { $0.take(response, for: $1, from: self.id) }
        case .complete(let id, let error): reply(id) { $0.take(error, for: $1, from: self.id) }
        case .persistVote(let vote, let token):
            onDisk {
                self.lastVote = vote
            } then: {
                $0.onVotePersisted(token, now: self.world.now)
            }
        case .persistConfig(let config, let token):
            onDisk {
                self.config = config
                self.world.noteConfig(config)
            } then: {
                $0.onConfigPersisted(token, now: self.world.now)
            }
        case .initiate(let config):
            let entry = LogEntry(optime: OpTime(term: 0, timestamp: timestamp()), payload: 0)
            onDisk {
                self.config = config
                self.log = [entry]
                self.durableCount = 1
            } then: {
                $0.onInitiated(Progress(all: entry.optime), now: self.world.now)
            }
        case .stateChanged(let state):
            world.note("member \(id) is \(state.name) in term \(member.term)")
            if state == .primary, shown != .primary { world.noteLeader(self) }
            shown = state
        case .startInitialSync:
            isInitialSyncUnderWay = true
            log = []
            durableCount = 0
        case .setSyncSource(let source, _):
            fetch += 1
            if let source, let node = world.nodes.first(where: { $0.id == source }) { fetchFrom(node, fetch) }
        case .drain(let term):
            after(0...2) { $0.onDrained(term: term, now: self.world.now) }
        case .writeNoOp(let purpose):
            let optime = append()
            self.do { $0.onNoOpWritten(purpose, optime, at: WallTime(milliseconds: 0), now: self.world.now) }
            progressed()
        case .commitPointAdvanced(let point):
            if member.isPrimary { world.noteCommit(by: self, upTo: point) }
        case .completeWaiter(let id, let result):
            guard let payload = waiting.removeValue(forKey: id), case .satisfied = result else { return }
            if !world.committed.contains(where: { $0.payload == payload }) {
                world.fail("write \(payload) is acknowledged but not committed")
            }
            world.acknowledged.append(payload)
        case .log(_, let line): world.note("  \(id): \(line)")
        case .probe, .startWrites, .stopWrites, .steppedDown, .topologyChanged, .ignored: break
        }
    }

    private func after(_ delay: ClosedRange<Int>, _ event: @escaping (inout Member) -> [Directive]) {
        let life = life
        world.schedule(after: world.random.milliseconds(delay)) { [self] in
            if self.life == life, isAlive { self.do(event) }
        }
    }

    private func onDisk(_ write: @escaping () -> Void, then event: @escaping (inout Member) -> [Directive]) {
        let life = life
        world.schedule(after: .milliseconds(1)) { [self] in
            guard self.life == life, isAlive else { return }
            write()
            self.do(event)
        }
    }

    // MARK: Questions and answers

    private func ask(
        _ host: String, _ question: Question, _ event: @escaping (inout Member, RequestID) -> [Directive]
    ) {
        guard let target = world.node(host: host) else { return }
        if !target.isAlive, world.canReach(index, target.index) {
            // Nobody listens there: that is known at once.
            after(0...1) {
                switch question {
                case .heartbeat(let exchange):
                    $0.onHeartbeatFailure(exchange, ServerError(.hostUnreachable, "refused"), now: self.world.now)
                case .vote(let exchange, _): $0.onVoteFailure(exchange, from: target.id, now: self.world.now)
                case .positions: $0.onUpdatePositionDone(now: self.world.now)
                }
            }
            return
        }
        let life = life
        world.send(from: index, to: target.index) { [self] target in
            let id = RequestID(target.nextRequest)
            target.nextRequest += 1
            if self.life == life { target.requests[id] = (self, question) }
            target.do { event(&$0, id) }
        }
    }

    private func reply(_ id: RequestID, _ body: @escaping (VirtualNode, Question) -> Void) {
        guard let (asker, question) = requests.removeValue(forKey: id) else { return }
        let life = asker.life
        world.send(from: index, to: asker.index) { if $0.life == life { body($0, question) } }
    }

    private func take(_ response: HeartbeatResponse, for question: Question) {
        guard case .heartbeat(let exchange) = question else { return }
        self.do { $0.onHeartbeatResponse(exchange, response, now: self.world.now) }
    }
    private func take(_ response: VoteResponse, for question: Question, from voter: MemberID) {
        guard case .vote(let exchange, _) = question else { return }
        self.do { $0.onVoteResponse(exchange, from: voter, response, now: self.world.now) }
    }
    private func take(_ error: ServerError?, for question: Question, from responder: MemberID) {
        switch question {
        case .heartbeat(let exchange):
            self.do {
                $0.onHeartbeatFailure(exchange, error ?? ServerError(.internalError, ""), now: self.world.now)
            }
        case .positions: self.do { $0.onUpdatePositionDone(now: self.world.now) }
        case .vote(let exchange, _):
            self.do { $0.onVoteFailure(exchange, from: responder, now: self.world.now) }
        }
    }

    // MARK: Oplog

    private func timestamp() -> Timestamp {
        let seconds = UInt32(world.now.nanoseconds / 1_000_000_000)
        let next = Timestamp(rawValue: (log.last?.optime.timestamp.rawValue ?? 0) + 1)
        return max(next, Timestamp(seconds: seconds, increment: 1))
    }

    private func append() -> OpTime {
        let optime = OpTime(term: member.term, timestamp: timestamp())
        log.append(LogEntry(optime: optime, payload: world.nextPayload))
        world.nextPayload += 1
        return optime
    }

    /// A client's insert with `w: "majority"`.
    func write() {
        guard isAlive, member.isWritablePrimary else { return }
        let payload = world.nextPayload
        let optime = append()
        progressed()
        guard isAlive, member.isWritablePrimary else { return }
        let waiter = WaiterID(UInt64(payload))
        waiting[waiter] = payload
        self.do { $0.onWaitForWriteConcern(waiter, target: optime, .majority, deadline: nil, now: self.world.now) }
    }

    private func progressed() {
        var progress = member.progress
        progress.written = log.last?.optime ?? .null
        progress.applied = progress.written
        progress.durable = durableCount > 0 ? log[durableCount - 1].optime : .null
        self.do { $0.onLocalProgress(progress, now: self.world.now) }
        flush()
    }

    private func flush() {
        guard !isFlushing, durableCount < log.count else { return }
        isFlushing = true
        let life = life
        let count = log.count
        world.schedule(after: world.random.milliseconds(0...4)) { [self] in
            guard self.life == life, isAlive else { return }
            isFlushing = false
            durableCount = min(max(durableCount, count), log.count)
            progressed()
        }
    }

    // MARK: Fetching

    private func fetchFrom(_ source: VirtualNode, _ fetch: Int) {
        let life = life
        let from = log.last
        var isAnswered = false
        world.send(from: index, to: source.index) { [self] source in
            guard source.member.state.isReadable else { return }
            source.answerFetch(from, until: world.now + .milliseconds(100)) { entries, whole, metadata in
                source.world.send(from: source.index, to: self.index) { [self] _ in
                    guard self.life == life, isAlive, self.fetch == fetch else { return }
                    isAnswered = true
                    take(entries, whole: whole, metadata, from: source, fetch)
                }
            }
        }
        world.schedule(after: .milliseconds(400)) { [self] in
            guard !isAnswered, self.life == life, isAlive, self.fetch == fetch else { return }
            self.do { $0.onSyncSourceFailed(source.id, deniedFor: .milliseconds(200), now: self.world.now) }
        }
    }

    /// Awaits data like a tailable cursor. nil entries: ours is not in the log.
    private func answerFetch(
        _ last: LogEntry?, until deadline: Instant,
        _ answer: @escaping ([LogEntry]?, [LogEntry], ReplicationMetadata) -> Void
    ) {
        let metadata = member.replicationMetadata(rollbackID: 1)
        guard let last else { return answer(log, log, metadata) }
        guard let place = log.lastIndex(of: last) else { return answer(nil, log, metadata) }
        if place + 1 < log.count || world.now >= deadline {
            return answer(Array(log[(place + 1)...].prefix(5)), [], metadata)
        }
        let life = life
        let commitPoint = member.commitPoint
        world.schedule(after: .milliseconds(10)) { [self] in
            guard self.life == life, isAlive, member.state.isReadable else { return }
            answerFetch(last, until: member.commitPoint == commitPoint ? deadline : world.now, answer)
        }
    }

    private func take(
        _ entries: [LogEntry]?, whole: [LogEntry], _ metadata: ReplicationMetadata, from source: VirtualNode,
        _ fetch: Int
    ) {
        guard let entries else { return diverged(whole, from: source, fetch) }
        if let first = entries.first, let last = log.last, first.optime <= last.optime {
            world.fail("member \(id) fetches \(first.optime) after \(last.optime)")
        }
        log.append(contentsOf: entries)
        if !entries.isEmpty { progressed() }
        self.do { $0.onBatchFetched(from: source.id, metadata, now: self.world.now) }
        if isInitialSyncUnderWay {
            stopPoint = stopPoint ?? log.last?.optime
            // The voters of a new set cannot wait for a commit.
            if let stopPoint, durableCount > 0, log[durableCount - 1].optime >= stopPoint,
                member.isCountedVoter || metadata.commitPoint >= stopPoint
            {
                isComplete = true
                isInitialSyncUnderWay = false
                self.do { $0.onFollowerState(.secondary, now: self.world.now) }
            }
        }
        if self.fetch == fetch, isAlive { fetchFrom(source, fetch) }
    }

    /// Starts the initial sync again; what was acknowledged already makes it another member.
    private func discardData() {
        fetch += 1
        log = []
        durableCount = 0
        stopPoint = nil
        if isComplete { drawIncarnation() }
        isComplete = false
        self.do { $0.onDataDiscarded(newIncarnation: self.incarnation, now: self.world.now) }
    }

    private func drawIncarnation() {
        incarnation = Incarnation(
            startedAt: WallTime(milliseconds: world.now.nanoseconds / 1_000_000), nonce: world.random.next() | 1)
    }

    private func diverged(_ theirs: [LogEntry], from source: VirtualNode, _ fetch: Int) {
        guard let mine = log.last?.optime, let top = theirs.last?.optime, top > mine else {
            self.do { $0.onSyncSourceFailed(source.id, deniedFor: .milliseconds(200), now: self.world.now) }
            return
        }
        var common = 0
        while common < min(log.count, theirs.count), log[common] == theirs[common] { common += 1 }
        world.note("member \(id) rolls back \(log.count - common) entries")
        // I6. While it clones, nothing of its own is committed.
        if !isInitialSyncUnderWay, log[common...].contains(where: { $0.optime <= member.commitPoint }) {
            world.fail("member \(id) rolls back at or below its commit point \(member.commitPoint)")
        }
        if isInitialSyncUnderWay {
            discardData()
            return
        } else {
            self.do { $0.onFollowerState(.rollback, now: self.world.now) }
            log.removeSubrange(common...)
        }
        durableCount = min(durableCount, log.count)
        progressed()
        self.do { $0.onFollowerState(.recovering, now: self.world.now) }
        self.do { $0.onFollowerState(.secondary, now: self.world.now) }
        if self.fetch == fetch, isAlive { fetchFrom(source, fetch) }
    }
}
