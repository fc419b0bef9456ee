internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Pulls the oplog of the sync source: asks for what follows our last entry, applies it, reports how far we are, asks
/// again.
///
/// The source holds a request back until it has something new, so an entry is here half a round trip after it was
/// written. A frame is small enough to be applied in one step of the loop. A delayed member holds
/// entries until they are old enough; until then it has not got them, whoever asks.
final class OplogFetcher {
    private unowned let node: Node
    weak var role: ReplicaSetRole?

    private var sourceID: MemberID?
    private var host: String?
    private var link: PeerLink?
    /// Counts changes of the source: answers of an earlier one are dropped.
    private var generation: UInt64 = 0
    /// The rollback id of the source when we began to follow it.
    private var sourceRollbackID: Int32?
    private var isRequesting = false
    /// An entry waits for an index build before it can be applied; nothing is fetched meanwhile.
    private var isHeldUp = false
    private var delayed = DelayedEntries()
    // What was applied since the member was told.
    private var appliedCount = 0
    private var begunTerms: [(Int64, WallTime)] = []
    private var delayTimer: TimerToken?
    private var whenIdle: (() -> Void)?

    init(node: Node) { self.node = node }

    /// Follows that member, or nobody.
    func follow(_ id: MemberID?, host: String?) {
        guard id != sourceID || host != self.host else { return fetch() }
        stop()
        guard let id, let host, let role else { return }
        sourceID = id
        self.host = host
        link = role.makeLink(to: host)
        fetch()
    }

    /// Entries that were fetched and wait to be applied.
    var waitingCount: Int { delayed.count }
    var isFollowing: Bool { sourceID != nil }

    /// Stops fetching. What was fetched has been applied.
    func stop() {
        generation += 1
        sourceID = nil
        host = nil
        sourceRollbackID = nil
        isRequesting = false
        // Held for an entry of another history, they would have to be taken back: whoever is followed next has them.
        delayed.removeAll()
        link?.close()
        link = nil
    }

    /// Stops fetching and calls `completion` when everything that was fetched has been applied.
    func drain(_ completion: @escaping () -> Void) {
        stop()
        if isHeldUp { whenIdle = completion } else { completion() }
    }

    /// Asks for more, unless a request is under way or there is nobody to ask.
    func fetch() {
        guard let link, let role, !isRequesting, !isHeldUp, !delayed.isFull, role.initialSync == nil,
            role.rollback == nil, !isStoppedByFailPoint
        else { return }
        let after = delayed.last ?? node.lastOpTime
        guard !after.isNull else { return }
        isRequesting = true
        let generation = generation
        let wait = role.oplogAwaitTime
        let request = FetchOplogRequest(
            .following(term: role.member.term), after: after, knownCommitPoint: role.member.commitPoint,
            awaitMillis: wait.wholeMilliseconds)
        link.request(request, timeout: wait + Limits.peerRequestTimeout) { [weak self] result in
            guard let self, generation == self.generation else { return }
            isRequesting = false
            // Dropped, to be asked for again when the fail point is off.
            if isStoppedByFailPoint { return }
            switch result {
            case .success(let reply): take(reply)
            case .failure(.unreadable(let error)): fail("\(error)", deniedFor: Limits.syncSourceDenialLong)
            case .failure(let error): fail("\(error.description)", deniedFor: Limits.syncSourceDenialShort)
            }
        }
    }

    private var isStoppedByFailPoint: Bool {
        node.frontend.failPoints.isOn(.stopReplProducer) || node.frontend.failPoints.isOn(.rsSyncApplyStop)
    }

    private func fail(_ why: String, deniedFor denial: Duration) {
        guard let role, let id = sourceID else { return }
        node.runtime.log.log(.info, "replication", "sync source \(host ?? ""): \(why)")
        stop()
        role.drive { member, now in member.onSyncSourceFailed(id, deniedFor: denial, now: now) }
    }

    private func take(_ reply: FetchOplogReply) {
        guard let role, let id = sourceID else { return }
        let metadata = reply.metadata
        if let known = sourceRollbackID, known != metadata.rollbackID {
            return fail("it rolled back meanwhile", deniedFor: Limits.syncSourceDenialShort)
        }
        sourceRollbackID = metadata.rollbackID
        // Sent before the source knew our term: what it says may be a deposed primary's, and a member that took it
        // after it voted would have to throw it away again (Raft §5.1). The next request tells the source of the term.
        if metadata.term < role.member.term, !node.runtime.hasMutant(.staleTermAccepted) {
            node.runtime.probe("batch of an older term dropped")
            return fetch()
        }
        switch reply.answer {
        case .stale where !delayed.isEmpty, .diverged where !delayed.isEmpty:
            // What we hold was never applied: it is dropped, and the question asked again behind what was.
            delayed.removeAll()
            return fetch()
        case .stale where role.member.isPrimary, .diverged where role.member.isPrimary:
            return role.drive { member, now in member.onCatchUpSourceDiverged(id, now: now) }
        case .behind: return fail("it is behind us", deniedFor: Limits.syncSourceDenialShort)
        case .stale:
            // A member that was cloned of late has a short log; the primary has the last word.
            guard host == role.member.primaryHost else {
                return fail("its oplog begins behind our last entry", deniedFor: Limits.syncSourceDenialShort)
            }
            return role.resynchronize(because: .stale)
        case .diverged: return role.rollBack(source: id, host: host ?? "")
        case .nothingNew: break
        case .entries:
            guard let frame = reply.frame else { return }
            do {
                if role.member.ownDelay > .zero || !delayed.isEmpty { try hold(frame) } else { try apply(frame) }
            } catch let error as ServerError where error.code == .invalidBSON || error.code == .failedToParse {
                return fail("a damaged batch: \(error)", deniedFor: Limits.syncSourceDenialShort)
            } catch let held as HeldUp {
                finish(held.build)
            } catch {
                return node.fail(error)
            }
            applyDue()
        }
        reportApplied(role)
        role.drive { member, now in member.onBatchFetched(from: id, metadata, now: now) }
        fetch()
    }

    private func apply(_ frame: UnsafeRawBufferPointer) throws {
        let data = node.data
        try node.openFetched(frame) { bytes in
            guard let base = bytes.baseAddress else { return }
            let entry = DocumentView(base: base)
            // A batch that overlaps what we have: everything up to our last entry is here already.
            guard let optime = OpTime(entry), optime > data.oplog.last ?? .null else { return }
            try take(entry, optime)
        }
    }

    private func take(_ entry: DocumentView, _ optime: OpTime) throws {
        let isFirstOfTerm = optime.term > node.lastOpTime.term
        if case .waitsForIndexBuild(let build) = try node.data.apply(entry, .steady) { throw HeldUp(build: build) }
        appliedCount += 1
        node.counters.applied.note(entry)
        guard isFirstOfTerm, let wall = entry["wall"]?.asDateTime else { return }
        begunTerms.append((optime.term, WallTime(milliseconds: wall)))
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

    // MARK: Delay

    private func hold(_ frame: UnsafeRawBufferPointer) throws {
        try node.openFetched(frame) { bytes in
            guard let base = bytes.baseAddress else { return }
            let entry = DocumentView(base: base)
            guard let optime = OpTime(entry), optime > delayed.last ?? node.lastOpTime else { return }
            delayed.append(bytes, optime, wall: WallTime(milliseconds: entry["wall"]?.asDateTime ?? 0))
        }
    }

    /// Applies what is old enough by now, a slice of the loop at a time, and looks again when the next entry will be.
    /// Also called when the configuration has changed, and with it perhaps the delay.
    func applyDue() {
        guard let role, !isHeldUp, !delayed.isEmpty, role.rollback == nil else { return }
        if let delayTimer { node.runtime.cancel(delayTimer) }
        delayTimer = nil
        let end = node.runtime.now + Limits.loopSliceMax
        var wait = delayed.wait(for: role.member.ownDelay, at: node.runtime.wallClock)
        let isDue = wait == .zero
        do {
            while wait == .zero, node.runtime.now < end {
                try delayed.withFirst { try take($0, $1) }
                delayed.removeFirst()
                wait = delayed.wait(for: role.member.ownDelay, at: node.runtime.wallClock)
            }
        } catch let held as HeldUp {
            finish(held.build)
            wait = nil
        } catch {
            return node.fail(error)
        }
        if let wait {
            delayTimer = node.runtime.schedule(after: max(wait, .milliseconds(1))) { [weak self] in
                self?.delayTimer = nil
                self?.applyDue()
            }
        }
        guard isDue else { return }
        reportApplied(role)
        fetch()
    }

    // MARK: Index builds

    /// An entry commits an index build that is not through here: nothing is applied before it is.
    private struct HeldUp: Error, @unchecked Sendable {
        let build: IndexBuild
    }

    /// Finishes the build in slices, then fetches again from the entry that waited for it.
    private func finish(_ build: IndexBuild) {
        isHeldUp = true
        node.runtime.probe("entry waited for an index build")
        node.runtime.spawn("index build") { [self] in
            do {
                while try build.step(until: node.runtime.loopSliceEnd, .committing) == .yield {
                    await node.frontend.yieldLoop()
                }
            } catch {
                node.fail(error)
            }
            isHeldUp = false
            whenIdle?()
            whenIdle = nil
            applyDue()
            fetch()
        }
    }
}
