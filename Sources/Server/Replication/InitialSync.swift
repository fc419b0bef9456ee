internal import BSON
internal import Core
internal import Data
internal import Replication

/// Makes a member with nothing, or with a history that must not be kept, a copy of another one.
///
/// Everything is cloned while the source keeps taking writes, and its oplog is fetched meanwhile. Then the entries from
/// the beginning of the clone on are applied up to a stop point, with rules that allow for data newer than the entry;
/// then the indexes are built. The sync is done when the stop point is committed: a rollback undoes nothing that is
/// committed, so this member never has to go back to before its clone. What was fetched beyond is applied as a
/// secondary does, which is what the member then becomes.
///
/// Every question to the source stands alone, so one that gets no answer is asked again, over a new connection, and the
/// clone goes on where it was; unless the source is another one by then, or has rolled back, or others could be asked.
final class InitialSync {
    let node: Node
    unowned let role: ReplicaSetRole
    /// What this member has is thrown away once a source is found, and kept until then.
    private(set) var mustDiscard: Bool
    private(set) var isCancelled = false
    private var link: PeerLink?
    private var fetcher: InitialSyncFetcher?
    /// Who the source was when the attempt began.
    private var identity: SourceIdentity?
    /// The commit point that the source has told of.
    private(set) var committedAtSource = OpTime.null
    private var sourceWaiter: (() -> Void)?
    private var progressTimer: TimerToken?
    var progress: InitialSyncProgress

    /// Why an attempt failed; another one follows.
    struct Failure: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    private struct SourceIdentity: Equatable {
        let incarnation: Incarnation
        let rollbackID: Int32
    }

    init(role: ReplicaSetRole, mustDiscard: Bool = false) {
        self.role = role
        self.mustDiscard = mustDiscard
        node = role.node
        progress = InitialSyncProgress(now: role.node.runtime.wallClock.milliseconds)
    }

    private var wall: Int64 { node.runtime.wallClock.milliseconds }

    func cancel() {
        isCancelled = true
        link?.close()
        fetcher?.stop()
        if let progressTimer { node.runtime.cancel(progressTimer) }
        sourceWaiter?()
        sourceWaiter = nil
    }

    /// Starts to try, again and again until it succeeds or is cancelled.
    func start() {
        scheduleProgressLine()
        node.runtime.spawn("initial sync") { [self] in
            while !isCancelled {
                let failure: String
                do {
                    try await run()
                    return
                } catch let error as Failure {
                    node.runtime.probe("initial sync began again")
                    failure = error.reason
                } catch let error as ServerError {
                    failure = "\(error)"
                } catch {
                    return node.fail(error)
                }
                link?.close()
                guard !isCancelled else { return }
                progress.endAttempt(failure, failed: true, now: wall)
                let isHopeless = progress.failedCount % Limits.initialSyncAttemptsMax == 0
                node.runtime.log.log(
                    isHopeless ? .error : .warning, "initial sync", "attempt \(progress.failedCount) failed: \(failure)"
                )
                // Longer with every failure: what does not work is not tried ten times a second.
                let pause = Limits.initialSyncRetryDelay * min(progress.failedCount, Limits.initialSyncAttemptsMax)
                await node.runtime.sleep(for: pause)
            }
        }
    }

    /// For `initialSyncStatus` of `replSetGetStatus`.
    var status: Document { Document { progress.write(to: $0, now: wall) } }

    private func scheduleProgressLine() {
        progressTimer = node.runtime.schedule(after: Limits.initialSyncProgressInterval) { [weak self] in
            guard let self, !isCancelled else { return }
            node.runtime.log.log(.info, "initial sync", progress.line(now: wall))
            scheduleProgressLine()
        }
    }

    // MARK: One attempt

    private func run() async throws {
        let data = node.data
        progress.phase = "choosing a sync source"
        let host = await chooseSource()
        guard !isCancelled else { return }
        let link = role.makeLink(to: host)
        self.link = link
        identity = nil
        progress.beginAttempt(from: host, now: wall)
        node.runtime.log.log(.info, "initial sync", "attempt \(progress.failedCount + 1) from \(host)")

        let begin = try await position()
        progress.noteSource(rollbackID: begin.rollbackID, oplogStart: begin.applied.timestamp)
        if mustDiscard {
            mustDiscard = false
            try role.discardData()
            // The source has been told of the incarnation that has just ended, and refuses it once it knows of the
            // next.
            link.reconnect()
        }
        role.local.forgetDurable()
        try data.startInitialSync()
        let fetcher = try InitialSyncFetcher(self, role.makeLink(to: host), from: begin.applied)
        self.fetcher = fetcher
        fetcher.start()
        do {
            try await copy(fetcher)
        } catch {
            try stopFetching()
            throw error
        }
        try stopFetching()
        guard !isCancelled else { return }
        finish()
        link.close()
    }

    /// Everything from the clone to data that may be read.
    private func copy(_ fetcher: InitialSyncFetcher) async throws {
        let data = node.data
        progress.phase = "cloning"
        try await clone()
        guard !isCancelled else { return }
        try await catchUp(fetcher)
        // The voters of a new set cannot wait for a commit: without them there is no majority. They have acknowledged
        // nothing yet, so nothing is lost if what they cloned turns out not to last.
        if !role.member.isCountedVoter {
            progress.phase = "waiting for the stop point to be committed"
            try await awaitCommit(of: node.lastOpTime)
        }
        guard !isCancelled else { return }
        try data.finishInitialSync(at: node.lastOpTime)
        try await applyRest(fetcher)
        // From here on the positions count: a power cut must not find the data half done again.
        try await data.versions.flush()
    }

    private func finish() {
        progress.endAttempt("OK", failed: false, now: wall)
        node.runtime.log.log(
            .info, "initial sync",
            "done: \(progress.documentsCopied) documents in \(progress.clonedCollections) collections, "
                + "\(progress.appliedEntries) entries")
        if let progressTimer { node.runtime.cancel(progressTimer) }
        role.initialSyncFinished(self)
    }

    /// The end of an attempt, whatever it came to.
    private func stopFetching() throws {
        fetcher?.stop()
        try fetcher?.buffer.removeAll()
        fetcher = nil
    }

    /// No further entries come: the attempt is over.
    func fetcherFailed() { link?.close() }

    /// Waits until some member can be cloned.
    private func chooseSource() async -> String {
        while !isCancelled {
            if let host = role.member.initialSyncSource(now: node.runtime.now) { return host }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                sourceWaiter = { continuation.resume() }
            }
        }
        return ""
    }

    /// Called after every event of the member: a source may have come up, or ours may be down.
    func memberChanged() {
        if let waiter = sourceWaiter {
            guard role.member.initialSyncSource(now: node.runtime.now) != nil else { return }
            sourceWaiter = nil
            waiter()
        } else if link != nil, !role.member.isUp(progress.source) {
            // An answer that will not come is not waited for.
            for link in [link, fetcher?.link] { if let link, link.isConnected { link.reconnect() } }
        }
    }

    // MARK: Asking the source

    /// Asks the source, again when it does not answer.
    /// - Throws: `Failure` when this attempt cannot go on, `ServerError` as the source's answer.
    func ask<Request: MemberRequest, T>(
        _ request: Request, over other: PeerLink? = nil, timeout: Duration = Limits.peerCallTimeout,
        _ take: (Request.Reply) throws -> T
    ) async throws -> T {
        var outageSince: Instant?
        while true {
            guard !isCancelled, let link = other ?? link, !link.isClosed else {
                throw fetcher?.failure ?? Failure("cancelled")
            }
            do {
                if outageSince != nil { try await confirmSource(link) }
                return try await link.call(request, timeout: timeout) { reply in
                    progress.endOutage(now: wall)
                    return try take(reply)
                }
            } catch let error as ServerError where error.code == .hostUnreachable || error.code == .networkTimeout {
                if let failure = fetcher?.failure { throw failure }
                let now = node.runtime.now
                let since = outageSince ?? now
                outageSince = since
                progress.noteRetry(now: wall)
                let isLeft = error.code == .networkTimeout || !role.member.isUp(progress.source)
                // Who hears nobody is cut off: a change of the source would only lose what has been cloned.
                let member = role.member
                if isLeft, member.initialSyncSource(now: now, otherThan: progress.source, heardSince: since) != nil {
                    role.denySource(progress.source)
                    throw Failure("\(progress.source) does not answer (\(error.message)), and another member may")
                }
                guard now - since < Limits.initialSyncOutageMax else {
                    throw Failure("\(progress.source) has not answered for \(now - since): \(error.message)")
                }
                await node.runtime.sleep(for: Limits.initialSyncRetryDelay)
            }
        }
    }

    /// After an outage: whether the source is what it was.
    private func confirmSource(_ link: PeerLink) async throws {
        _ = try check(try await link.call(SourcePositionRequest()) { $0 })
    }

    /// Looks whether the source is still what it was, in an answer with entries.
    func note(_ metadata: ReplicationMetadata) throws(Failure) {
        guard metadata.rollbackID == identity?.rollbackID else { throw Failure("the source rolled back") }
        committedAtSource = max(committedAtSource, metadata.commitPoint)
    }

    func check(_ position: SourcePositionReply) throws(Failure) -> ReplicationMetadata {
        let found = SourceIdentity(incarnation: position.incarnation, rollbackID: position.metadata.rollbackID)
        if let identity, identity.incarnation != position.incarnation {
            throw Failure("the source was started again and has forgotten what it had")
        }
        if let identity, identity != found { throw Failure("the source rolled back") }
        identity = found
        return position.metadata
    }

    func position() async throws -> ReplicationMetadata {
        let metadata = try check(try await ask(SourcePositionRequest()) { $0 })
        guard !metadata.applied.isNull else { throw Failure("the source has no data yet") }
        return metadata
    }
}
