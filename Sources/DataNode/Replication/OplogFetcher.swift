internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Fetches the oplog of the sync source: carries out what `OplogFetch` decides.
///
/// A frame of entries is small enough to be applied in one step of the loop.
final class OplogFetcher {
    private unowned let node: Node
    weak var role: ReplicaSetRole?
    private var fetch: OplogFetch
    private var link: PeerLink?
    private var timer: TimerToken?
    /// The answer whose entries are being taken; in place, during the call in which it came.
    private var frame: UnsafeRawBufferPointer?
    /// The same while an entry of it waits for the storage.
    private var keptFrame: [UInt8]?
    /// What an entry waits for.
    private var awaitedBuild: IndexBuild?
    private var awaitedKey: StorageNotResident?
    // What was applied since the member was told.
    private var appliedCount = 0
    private var begunTerms: [(Int64, WallTime)] = []

    init(node: Node) {
        self.node = node
        fetch = OplogFetch(mutants: node.runtime.simulation?.mutants ?? [])
    }

    /// Entries that were fetched and wait to be applied.
    var waitingCount: Int { fetch.held.count }

    // MARK: Events

    /// Follows that member, or nobody.
    func follow(_ id: MemberID?, host: String?) { drive { $0.onSourceChosen(id, host: host, $1) } }

    /// Stops fetching. What was fetched has been applied.
    func stop() { drive { fetch, _ in fetch.onStop() } }

    /// Stops fetching, and tells the member when everything that was fetched has been applied.
    func drain(term: Int64) { drive { fetch, _ in fetch.onDrain(term: term) } }

    /// Asks for more, unless a request is under way or there is nobody to ask.
    func goOn() { drive { $0.onReady($1) } }

    /// The lock of `fsync` was given back: entries are asked for again, and what was held may be old enough.
    func unlocked() {
        drive { $0.onHeldDue($1) }
        goOn()
    }

    /// The delay may be another one.
    func configChanged() { drive { $0.onHeldDue($1) } }

    /// Tells `fetch` what happened and carries out what it answers.
    private func drive(_ event: (inout OplogFetch, OplogFetch.Situation) -> [OplogFetch.Directive]) {
        guard let role else { return }
        for directive in event(&fetch, situation(role)) { perform(directive, role) }
    }

    private func situation(_ role: ReplicaSetRole) -> OplogFetch.Situation {
        OplogFetch.Situation(
            lastEntry: node.lastOpTime, term: role.member.term, commitPoint: role.member.heardCommitPoint,
            isPrimary: role.member.isPrimary, primaryHost: role.member.primaryHost,
            hasOtherSource: role.member.hasOtherSyncSource(at: node.runtime.now), delay: role.member.ownDelay,
            wallClock: node.runtime.wallClock, awaitTime: role.oplogAwaitTime,
            isPaused: node.lock.isHeld || node.frontend.failPoints.isOn(.stopReplProducer)
                || node.frontend.failPoints.isOn(.rsSyncApplyStop),
            isInInitialSync: role.initialSync != nil, isRollingBack: role.rollback != nil)
    }

    // MARK: Directives

    private func perform(_ directive: OplogFetch.Directive, _ role: ReplicaSetRole) {
        switch directive {
        case .connect(let host): link = role.makeLink(to: host)
        case .disconnect:
            link?.close()
            link = nil
            keptFrame = nil
        case .request(let request, let exchange, let timeout): send(request, exchange, timeout)
        case .applyFrame: takeFrame { try self.applyIfNew($0) }
        case .holdFrame: takeFrame { self.holdIfNew($0) }
        case .applyHeld(let delay): applyHeld(delay)
        case .setTimer(let wait): setTimer(wait)
        case .finishIndexBuild: finishBuild()
        case .prefetch: prefetch()
        case .report: reportApplied(role)
        case .tellBatch(let id, let metadata):
            role.drive { member, now in member.onBatchFetched(from: id, metadata, now: now) }
        case .tellSourceFailed(let id, let denial):
            role.drive { member, now in member.onSyncSourceFailed(id, deniedFor: denial, now: now) }
        case .tellCatchUpDiverged(let id):
            role.drive { member, now in member.onCatchUpSourceDiverged(id, now: now) }
        case .tellDrained(let term): role.drive { member, now in member.onDrained(term: term, now: now) }
        case .rollBack(let id, let host): role.rollBack(source: id, host: host)
        case .resynchronize(let answer): role.resynchronize(because: answer)
        case .goOn: goOn()
        case .log(let line): node.runtime.log.log(.info, "replication", line)
        case .probe(let name): node.runtime.probe(name)
        case .ignored: break
        }
    }

    private func send(_ request: FetchOplogRequest, _ exchange: Exchange, _ timeout: Duration) {
        let durability = node.data.durability
        guard durability.isBehind, let link else { return send(request, exchange, timeout, over: link) }
        // No further entries are asked for until the disk has those that came.
        node.runtime.spawn("wait for the disk") { [self] in
            await durability.catchUp()
            send(request, exchange, timeout, over: link)
        }
    }

    private func send(_ request: FetchOplogRequest, _ exchange: Exchange, _ timeout: Duration, over link: PeerLink?) {
        link?.request(request, timeout: timeout) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(let reply):
                frame = reply.frame
                drive { $0.onAnswer(exchange, reply.answer, reply.metadata, $1) }
                frame = nil
            case .failure(.unreadable(let error)):
                drive { $0.onNoAnswer(exchange, "\(error)", isUnreadable: true, $1) }
            case .failure(let error):
                drive { $0.onNoAnswer(exchange, error.description, isUnreadable: false, $1) }
            }
        }
    }

    private func setTimer(_ wait: Duration) {
        if let timer { node.runtime.cancel(timer) }
        timer = node.runtime.schedule(after: wait) { [weak self] in
            self?.timer = nil
            self?.drive { $0.onHeldDue($1) }
        }
    }

    // MARK: Entries

    /// An entry commits an index build that is not through here.
    private struct HeldUp: Error, @unchecked Sendable {
        let build: IndexBuild
    }

    private func takeFrame(_ body: (UnsafeRawBufferPointer) throws -> Void) {
        if let frame { return take(frame, body) }
        guard let kept = keptFrame else { return }
        keptFrame = nil
        kept.withUnsafeBytes { take($0, body) }
    }

    private func take(_ frame: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void) {
        var outcome = OplogFetch.Outcome.taken
        do {
            try node.openFetched(frame, body)
        } catch let error as ServerError where error.code == .invalidBSON || error.code == .failedToParse {
            outcome = .damaged("\(error)")
        } catch let held as HeldUp {
            awaitedBuild = held.build
            outcome = .waitsForIndexBuild
        } catch let missing as StorageNotResident {
            // What was applied of it is passed over the next time.
            awaitedKey = missing
            keptFrame = [UInt8](frame)
            outcome = .waitsForStorage
        } catch {
            return node.fail(error)
        }
        drive { $0.onFrameTaken(outcome, $1) }
    }

    private func applyIfNew(_ bytes: UnsafeRawBufferPointer) throws {
        guard let base = bytes.baseAddress else { return }
        let entry = DocumentView(base: base)
        // A batch that overlaps what we have: everything up to our last entry is here already.
        guard let optime = OpTime(entry), optime > node.data.oplog.last ?? .null else { return }
        try apply(entry, optime)
    }

    private func holdIfNew(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        let entry = DocumentView(base: base)
        guard let optime = OpTime(entry), optime > fetch.held.last ?? node.lastOpTime else { return }
        fetch.held.append(bytes, optime, wall: WallTime(milliseconds: entry["wall"]?.asDateTime ?? 0))
    }

    private func apply(_ entry: DocumentView, _ optime: OpTime) throws {
        let isFirstOfTerm = optime.term > node.lastOpTime.term
        if case .waitsForIndexBuild(let build) = try node.data.apply(entry, .steady) { throw HeldUp(build: build) }
        appliedCount += 1
        node.counters.applied.note(entry)
        guard isFirstOfTerm, let wall = entry["wall"]?.asDateTime else { return }
        begunTerms.append((optime.term, WallTime(milliseconds: wall)))
    }

    private func applyHeld(_ delay: Duration) {
        let end = node.runtime.now + Limits.loopSliceMax
        var outcome = OplogFetch.Outcome.taken
        do {
            while fetch.held.wait(for: delay, at: node.runtime.wallClock) == .zero, node.runtime.now < end {
                try fetch.held.withFirst { try apply($0, $1) }
                fetch.held.removeFirst()
            }
        } catch let held as HeldUp {
            awaitedBuild = held.build
            outcome = .waitsForIndexBuild
        } catch let missing as StorageNotResident {
            awaitedKey = missing
            outcome = .waitsForStorage
        } catch {
            return node.fail(error)
        }
        drive { $0.onHeldApplied(outcome, $1) }
    }

    /// Tells the member what was applied, once a step is through: it may answer with an end to the catch-up.
    private func reportApplied(_ role: ReplicaSetRole) {
        let count = appliedCount
        let begun = begunTerms
        appliedCount = 0
        begunTerms = []
        for (term, wall) in begun {
            role.drive { member, now in member.onTermBegun(term, startedAt: wall, now: now) }
        }
        if role.member.isPrimary { role.drive { member, now in member.onCatchUpApplied(count, now: now) } }
        role.reportProgress()
    }

    /// Finishes the build in slices.
    private func finishBuild() {
        guard let build = awaitedBuild else { return }
        awaitedBuild = nil
        node.runtime.spawn("index build") { [self] in
            do {
                try await node.inWritingSlices { try build.step(until: $0, .committing).ended }
            } catch {
                return node.fail(error)
            }
            drive { $0.onBuildFinished($1) }
        }
    }

    /// Brings into memory what an entry waits for.
    private func prefetch() {
        guard let missing = awaitedKey else { return }
        awaitedKey = nil
        node.runtime.spawn("prefetch for entries") { [self] in
            do {
                try await node.data.prefetch(missing)
            } catch {
                return node.fail(error)
            }
            drive { $0.onPrefetched($1) }
        }
    }
}
