internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// A node as a member of a replica set: carries out what the pure `Member` decides.
///
/// Everything that happens is told to the member as an event; the directives that come back are carried out in order.
/// What must outlive a restart is written before it is acted on.
final class ReplicaSetRole: NodeRole {
    unowned let node: Node
    private(set) var member: Member
    let local: ReplicationLocalState

    /// Directives that are still to be carried out: an event raised by carrying one out queues its own behind them.
    private var pending: [Directive] = []
    private var isDriving = false
    private var timer: TimerToken?
    private var timerAt = Instant.distantFuture

    private var links: [String: PeerLink] = [:]
    let peerConnections = PeerConnections()
    /// Connections of their own for the oplog and for cloning, so that a long answer does not hold up heartbeats.
    let syncSource: OplogFetcher
    private(set) var initialSync: InitialSync?
    /// What others' initial syncs need of our oplog.
    let oplogPins: OplogPins
    /// What the last one came to.
    private(set) var lastInitialSync: Document?
    private var isDiscarding = false
    private(set) var rollback: Rollback?

    private var nextRequest: UInt64 = 0
    /// Requests of others that a directive will answer.
    private var requests: [RequestID: (ReplyToRequest) -> Void] = [:]
    private var nextWaiter: UInt64 = 0
    private var waiters: [WaiterID: (WaiterResult) -> Void] = [:]
    /// The step of telling the member about its own writes is queued, once for all writes of a turn of the loop.
    private var isProgressQueued = false
    /// The cluster time that the primary was asked to write up to, and when.
    var requestedTime = Timestamp.zero
    var requestedTimeAt = Instant.zero
    /// Writes were started and not stopped.
    private var hasStartedWrites = false
    /// Whether a write may begin. Asks the member, too: between its decision to step down and the directive that says
    /// so, those who waited are told, and their connections go on with the next request.
    var acceptsWrites: Bool { hasStartedWrites && member.isWritablePrimary }
    /// The concerns of those who name none, as this member's data say.
    private(set) var defaults = StoredDefaults()
    /// Something the followers wait for: new entries, or a new commit point.
    let oplogChanged: LoopSignal
    private var isStopped = false
    /// For checkers: called when an event and all that followed from it has been carried out.
    var onEvent: (() -> Void)?
    /// Requests and waits that nobody has answered yet.
    var waiterCount: Int { requests.count + waiters.count }

    /// What a directive answers a request with.
    enum ReplyToRequest {
        case heartbeat(HeartbeatResponse)
        case vote(VoteResponse)
        case done(ServerError?)
    }

    init(
        node: Node, setName: String, policy: any ElectionPolicy, syncSourceSelector: (any SyncSourceSelecting)?,
        local: ReplicationLocalState
    ) {
        self.node = node
        self.local = local
        oplogChanged = LoopSignal(runtime: node.runtime)
        oplogPins = OplogPins(node)
        let last = node.lastOpTime
        let start = MemberStart(
            setName: setName, ownHosts: [node.frontend.advertisedName] + local.learnedHosts,
            incarnation: local.incarnation, startCount: local.startCount,
            isVolatile: !node.engine.survivesRestart, config: local.config, lastVote: local.lastVote,
            progress: Progress(all: last),
            commitPoint: node.runtime.hasMutant(.commitPointForgotten) ? .null : node.data.versions.committed,
            seed: node.runtime.randomNumber(),
            mutants: node.runtime.simulation?.mutants ?? [])
        member = Member(start, policy: policy, syncSourceSelector: syncSourceSelector)
        syncSource = OplogFetcher(node: node)
    }

    var runtime: any NodeRuntime { node.runtime }
    var durability: Durability { node.data.durability }

    func start() {
        durability.onAdvance = { [unowned self] in reportProgress() }
        node.data.onAppend = { [unowned self] _ in appended() }
        syncSource.role = self
        refreshDefaults()
        drive { member, now in member.onStart(now: now) }
    }

    /// Before a stop: steps down in favour of the best other member and waits, not for long, until it is primary.
    func handOver() async {
        guard acceptsWrites, member.couldHandOver else { return }
        let deadline = runtime.now + Limits.handOverMax
        let id = register { _ in }
        drive { member, now in
            member.onStepDownCommand(
                id, stepDownFor: Limits.handOverFreeze, catchUpFor: Limits.handOverMax / 2, force: true, now: now)
        }
        await awaitOtherPrimary(until: deadline)
    }

    func awaitOtherPrimary(until deadline: Instant) async {
        while member.primaryHost == nil || member.isPrimary, runtime.now < deadline, !isStopped {
            await node.frontend.topology.wait(beyond: node.frontend.topology.counter, until: deadline)
        }
    }

    /// Gives the primary role up, tells those who wait, closes the links.
    func shutdown() {
        guard !isStopped else { return }
        drive { member, now in member.onShutdown(now: now) }
        isStopped = true
        if let timer { runtime.cancel(timer) }
        syncSource.stop()
        initialSync?.cancel()
        rollback?.cancel()
        for (_, link) in links.sorted(by: { $0.key < $1.key }) { link.close() }
        links = [:]
        oplogChanged.fire()
    }

    // MARK: Events in, directives out

    /// Tells the member what happened and carries out what it answers.
    func drive(_ event: (inout Member, Instant) -> [Directive]) {
        guard !isStopped else { return }
        member.wallClock = runtime.wallClock
        pending += event(&member, runtime.now)
        guard !isDriving else { return }
        isDriving = true
        var next = 0
        while next < pending.count {
            let directive = pending[next]
            next += 1
            do {
                try perform(directive)
            } catch {
                node.fail(error)
            }
        }
        pending.removeAll(keepingCapacity: true)
        isDriving = false
        initialSync?.memberChanged()
        setTimer()
        onEvent?()
    }

    private func setTimer() {
        guard !isStopped else { return }
        let next = member.nextWakeUp(now: runtime.now)
        guard next != timerAt || timer == nil else { return }
        if let timer { runtime.cancel(timer) }
        timer = nil
        timerAt = next
        guard next < .distantFuture else { return }
        timer = runtime.schedule(at: next) { [weak self] in
            guard let self else { return }
            timer = nil
            drive { member, now in member.onTick(now: now) }
        }
    }

    /// Registers who asked, and hands out the number under which a directive will answer.
    func register(_ answer: @escaping (ReplyToRequest) -> Void) -> RequestID {
        nextRequest += 1
        let id = RequestID(nextRequest)
        requests[id] = answer
        return id
    }

    func answer(_ id: RequestID, _ reply: ReplyToRequest) { requests.removeValue(forKey: id)?(reply) }

    /// - Parameter connection: whose command is held until then.
    func registerWaiter(
        for connection: ClientConnection?, _ completion: @escaping (WaiterResult) -> Void
    ) -> WaiterID {
        nextWaiter += 1
        let id = WaiterID(nextWaiter)
        connection?.hold(for: id.number)
        waiters[id] = { [weak connection] result in
            connection?.release(id.number)
            completion(result)
        }
        return id
    }

    func completeWaiter(_ id: WaiterID, _ result: WaiterResult) { waiters.removeValue(forKey: id)?(result) }

    func setAcceptsWrites(_ accepts: Bool) { hasStartedWrites = accepts }
    func setDefaults(_ next: StoredDefaults) { defaults = next }

    func startInitialSync() {
        // One that has found its source throws the data away itself.
        if isDiscarding { return }
        initialSync?.cancel()
        rollback?.cancel()
        rollback = nil
        let sync = InitialSync(host: self)
        initialSync = sync
        sync.start()
    }

    /// The data are there and committed: from here on this member counts.
    func initialSyncFinished(_ sync: InitialSync) {
        guard sync === initialSync else { return }
        lastInitialSync = sync.status
        initialSync = nil
        reportProgress()
        drive { member, now in member.onFollowerState(.secondary, now: now) }
        // A source may have been chosen while there was nothing to go on from.
        syncSource.goOn()
    }

    /// This member holds entries that the sync source does not: takes them back.
    func rollBack(source: MemberID, host: String) {
        guard rollback == nil, initialSync == nil, member.state == .secondary || member.state == .recovering else {
            return
        }
        runtime.probe("rollback")
        runtime.log.log(
            .warning, "replication", "our last entry \(node.lastOpTime) is not in \(host)'s history: rolling back")
        syncSource.stop()
        let rollback = Rollback(role: self, source: source, sourceHost: host)
        self.rollback = rollback
        drive { member, now in member.onFollowerState(.rollback, now: now) }
        drive { member, now in member.onSyncSourceFailed(source, deniedFor: .zero, now: now) }
        rollback.start()
    }

    /// The rollback is done, or was given up with nothing changed.
    func rollbackEnded(_ ended: Rollback, _ how: String) {
        guard ended === rollback else { return }
        rollback = nil
        runtime.log.log(.warning, "replication", "rollback \(how)")
        reportProgress()
        drive { member, now in member.onFollowerState(.secondary, now: now) }
        syncSource.goOn()
    }

    /// What this member has cannot be joined to the set's history, or its place in the oplog is gone. It stays
    /// RECOVERING, with what it has, until there is a member to clone; then it throws its data away and starts anew.
    func resynchronize(because answer: OplogAnswer) {
        guard initialSync == nil else { return }
        runtime.log.log(
            .warning, "replication", "our last entry is \(answer.rawValue) at the sync source: data are cloned anew")
        runtime.probe("resynchronisation")
        syncSource.stop()
        rollback?.cancel()
        rollback = nil
        let sync = InitialSync(host: self, mustDiscard: true)
        initialSync = sync
        drive { member, now in member.onFollowerState(.recovering, now: now) }
        sync.start()
    }

    /// As a new member, because it forgets what it has acknowledged.
    func discardData() async throws {
        isDiscarding = true
        let incarnation = try await local.renewIncarnation(node)
        drive { member, now in member.onDataDiscarded(newIncarnation: incarnation, now: now) }
        isDiscarding = false
    }

    /// The member at `host` does not answer: others are asked for a while.
    func denySource(_ host: String) {
        guard let config = member.config, let index = config.index(ofHost: host) else { return }
        let id = config.members[index].id
        drive { member, now in
            member.onSyncSourceFailed(id, deniedFor: Limits.syncSourceDenialLong, now: now)
        }
    }

    // MARK: Links

    /// The connection for requests to the member at `host`.
    func link(to host: String) -> PeerLink {
        if let link = links[host] { return link }
        let link = makeLink(to: host)
        link.onOpen = { [weak self] in self?.connectionChanged(host, isOpen: true) }
        link.onLost = { [weak self] in self?.connectionChanged(host, isOpen: false) }
        links[host] = link
        return link
    }

    /// A new connection to the member at `host`, introduced as this member.
    func makeLink(to host: String) -> PeerLink {
        let link = PeerLink(
            runtime: runtime, transport: node.transport, endpoint: Endpoint(host) ?? Endpoint(host: host, port: 0)
        ) { [unowned self] writer in introduce(to: writer) }
        peerConnections.follow(link, to: host)
        return link
    }

    /// Closes links to members that are no longer in the configuration, and keeps nothing for them.
    func dropUnusedLinks() {
        guard let config = member.config else { return }
        oplogPins.dropStrangers(to: config)
        let hosts = config.members.map(\.host)
        for (host, link) in links.sorted(by: { $0.key < $1.key }) where !hosts.contains(host) {
            links[host] = nil
            link.close()
        }
    }

    /// The internal handshake: who this member is.
    private func introduce(to writer: DocumentWriter) {
        Introduction(
            setName: node.options.replicaSetName ?? "", memberID: member.ownID, incarnation: member.incarnation
        ).encode(to: writer)
    }

    private func connectionChanged(_ host: String, isOpen: Bool) {
        guard let config = member.config, let index = config.index(ofHost: host) else { return }
        let id = config.members[index].id
        drive { member, now in
            isOpen ? member.onConnectionOpened(id, now: now) : member.onConnectionLost(id, now: now)
        }
    }

    // MARK: Own progress

    /// The oplog grew. The member is told once for everything that this turn of the loop writes.
    private func appended() {
        guard !isProgressQueued else { return }
        isProgressQueued = true
        runtime.enqueue { [weak self] in self?.reportProgress() }
    }

    /// Tells the member how far its data are, starts a flush where the engine needs one, and wakes those who follow.
    func reportProgress() {
        isProgressQueued = false
        guard !isStopped else { return }
        durability.request()
        refreshDefaults()
        let progress = currentProgress()
        drive { member, now in member.onLocalProgress(progress, now: now) }
        oplogChanged.fire()
        node.dataAppended.fire()
    }

    /// What this member holds. While an initial sync runs it holds nothing that counts.
    private func currentProgress() -> Progress {
        if let initialSync, !initialSync.mustDiscard { return Progress() }
        let last = node.lastOpTime
        return Progress(
            written: last, applied: last, durable: durability.optime, appliedAt: node.data.lastEntryWall)
    }
}
