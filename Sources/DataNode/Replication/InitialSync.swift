internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Makes a member with nothing, or with a history that must not be kept, a copy of another one: carries out what
/// `InitialSyncCourse` decides.
///
/// Every question to the source stands alone, so one that gets no answer is asked again, over a new connection
/// (`SourceOutage`).
final class InitialSync {
    let node: Node
    private unowned let host: any InitialSyncHost
    private(set) var isCancelled = false
    private var course: InitialSyncCourse
    private var link: PeerLink?
    private(set) var fetcher: InitialSyncFetcher?
    private var sourceWaiter: (() -> Void)?
    private var progressTimer: TimerToken?
    var progress: InitialSyncProgress
    /// What is being cloned, in the order of the source's list.
    var collections: [Collection] = []
    /// Documents that an entry did not fit, to be asked for again.
    var missing: [(Namespace, Value)] = []

    /// Why an attempt failed; another one follows.
    struct Failure: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    init(host: any InitialSyncHost, mustDiscard: Bool = false) {
        self.host = host
        node = host.node
        course = InitialSyncCourse(mustDiscard: mustDiscard)
        progress = InitialSyncProgress(now: host.node.runtime.wallClock.milliseconds)
    }

    /// What this member has is thrown away once a source is found, and kept until then.
    var mustDiscard: Bool { course.mustDiscard }
    /// The commit point that the source has told of.
    var committedAtSource: OpTime { course.committedAtSource }
    private var wall: Int64 { node.runtime.wallClock.milliseconds }

    func cancel() {
        isCancelled = true
        link?.close()
        fetcher?.stop()
        if let progressTimer { node.runtime.cancel(progressTimer) }
        sourceWaiter?()
        sourceWaiter = nil
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

    // MARK: Events in, directives out

    /// Starts to try, again and again until it succeeds or is cancelled.
    func start() {
        scheduleProgressLine()
        node.runtime.spawn("initial sync") { [self] in
            var directives = course.onStart()
            while !directives.isEmpty {
                do {
                    directives = try await carryOut(directives)
                } catch let error as Failure {
                    directives = course.onFailed(error.reason)
                } catch let error as ServerError {
                    directives = course.onFailed("\(error)", isError: true)
                } catch {
                    return node.fail(error)
                }
            }
        }
    }

    /// Carries out directives and returns what the event that the last of them raises is answered with.
    private func carryOut(_ directives: [InitialSyncCourse.Directive]) async throws -> [InitialSyncCourse.Directive] {
        var next: [InitialSyncCourse.Directive] = []
        for directive in directives {
            if isCancelled {
                try stopFetching()
                return []
            }
            next = try await perform(directive)
        }
        return next
    }

    private func perform(_ directive: InitialSyncCourse.Directive) async throws -> [InitialSyncCourse.Directive] {
        switch directive {
        case .awaitSource:
            let source = await chooseSource()
            return isCancelled ? [] : course.onSource(source)
        case .askPosition(let target):
            let position = try await askPosition(awaiting: target)
            return course.onPosition(position, last: node.lastOpTime)
        case .cloneDefinitions: return course.onCollections(count: try await cloneDefinitions())
        case .cloneDocuments(let place, let after):
            return course.onDocuments(next: try await cloneDocuments(place, after: after))
        case .cloneSessions(let after): return course.onSessions(next: try await cloneSessions(after: after))
        case .apply(let stop):
            try await apply(through: stop)
            return course.onApplied(last: node.lastOpTime, missing: missing.count)
        case .fetchMissing:
            try await fetchMissing()
            return course.onMissingFetched()
        case .buildIndexes:
            let hasBuilt = try await buildIndexes()
            return course.onIndexesBuilt(
                any: hasBuilt, last: node.lastOpTime, isCountedVoter: host.isCountedVoter)
        case .lookAtRest:
            return course.onRest(isEmpty: fetcher?.buffer.isEmpty ?? true, delay: host.ownDelay)
        case .applyRest: try await applyRest()
        case .becomeReadable:
            try await node.data.whenResident { try node.data.finishInitialSync(at: node.lastOpTime) }
        case .flush: try await node.data.durability.flush()
        case .discardData:
            try await host.discardData()
            link?.reconnect()
        case .yield: await node.frontend.yieldLoop()
        case .beginAgain(let pause, let why, let attempt, let isHopeless):
            noteFailure(why, attempt, isHopeless)
            guard host.mayTryAgain(why, attempt: attempt) else {
                cancel()
                return []
            }
            await node.runtime.sleep(for: pause)
            return course.onStart()
        default: try performAtOnce(directive)
        }
        return []
    }

    /// Those that wait for nothing.
    private func performAtOnce(_ directive: InitialSyncCourse.Directive) throws {
        switch directive {
        case .enter(let phase): progress.phase = phase.rawValue
        case .connect(let host): beginAttempt(from: host)
        case .disconnect: link?.close()
        case .beginClone(let rollbackID, let begin):
            progress.noteSource(rollbackID: rollbackID, oplogStart: begin.timestamp)
            try node.data.startInitialSync()
        case .startFetching(let begin):
            let fetcher = try InitialSyncFetcher(self, host.makeLink(to: progress.source), from: begin)
            self.fetcher = fetcher
            fetcher.start()
        case .stopFetching: try stopFetching()
        case .end: finish()
        case .probe(let name): node.runtime.probe(name)
        default: break
        }
    }

    // MARK: Attempts

    private func beginAttempt(from source: String) {
        link = host.makeLink(to: source)
        missing = []
        progress.beginAttempt(from: source, now: wall)
        node.runtime.log.log(.info, "initial sync", "attempt \(progress.failedCount + 1) from \(source)")
    }

    private func noteFailure(_ why: String, _ attempt: Int, _ isHopeless: Bool) {
        progress.endAttempt(why, failed: true, now: wall)
        node.runtime.log.log(isHopeless ? .error : .warning, "initial sync", "attempt \(attempt) failed: \(why)")
    }

    private func finish() {
        progress.endAttempt("OK", failed: false, now: wall)
        node.runtime.log.log(
            .info, "initial sync",
            "done: \(progress.documentsCopied) documents in \(progress.clonedCollections) collections, "
                + "\(progress.appliedEntries) entries")
        if let progressTimer { node.runtime.cancel(progressTimer) }
        host.initialSyncFinished(self)
    }

    /// The end of an attempt, whatever it came to.
    private func stopFetching() throws {
        fetcher?.stop()
        try fetcher?.buffer.removeAll()
        fetcher = nil
    }

    /// Waits until some member can be cloned.
    private func chooseSource() async -> String {
        while !isCancelled {
            if let source = host.initialSyncSource() { return source }
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                sourceWaiter = { continuation.resume() }
            }
        }
        return ""
    }

    /// Called after every event of the member: a source may have come up, or ours may be down.
    func memberChanged() {
        if let waiter = sourceWaiter {
            guard host.initialSyncSource() != nil else { return }
            sourceWaiter = nil
            waiter()
        } else if link != nil, !host.isUp(progress.source) {
            // An answer that will not come is not waited for.
            for link in [link, fetcher?.link] { if let link, link.isConnected { link.reconnect() } }
        }
    }

    // MARK: Entries fetched meanwhile

    /// No further entries come: the attempt is over.
    func fetcherFailed() { link?.close() }

    /// Looks whether the source is still what it was, in an answer with entries.
    func confirm(_ metadata: ReplicationMetadata) throws(Failure) {
        if let why = course.confirm(metadata) { throw Failure(why) }
    }

    // MARK: Asking the source

    /// Asks the source, again when it does not answer.
    /// - Throws: `Failure` when this attempt cannot go on, `ServerError` as the source's answer.
    func ask<Request: MemberRequest, T>(
        _ request: Request, over other: PeerLink? = nil, timeout: Duration = Limits.peerCallTimeout,
        _ take: (Request.Reply) throws -> T
    ) async throws -> T {
        await node.data.durability.catchUp()
        var outage = SourceOutage(of: progress.source)
        while true {
            guard !isCancelled, let link = other ?? link, !link.isClosed else {
                throw fetcher?.failure ?? Failure("cancelled")
            }
            do {
                if outage.isUnderWay { try await confirmSource(link) }
                return try await link.call(request, timeout: timeout) { reply in
                    progress.endOutage(now: wall)
                    return try take(reply)
                }
            } catch let error as ServerError where error.code == .hostUnreachable || error.code == .networkTimeout {
                if let failure = fetcher?.failure { throw failure }
                let verdict = host.onNoAnswer(error, &outage)
                progress.noteRetry(now: wall)
                switch verdict {
                case .askAgain(let pause): await node.runtime.sleep(for: pause)
                case .giveUp(let why, let deniesSource):
                    if deniesSource { host.denySource(progress.source) }
                    throw Failure(why)
                }
            }
        }
    }

    /// After an outage: whether the source is what it was.
    private func confirmSource(_ link: PeerLink) async throws {
        let position = try await link.call(SourcePositionRequest()) { $0 }
        if let why = course.confirm(position) { throw Failure(why) }
    }

    private func askPosition(awaiting target: OpTime?) async throws -> SourcePositionReply {
        let wait: Duration = target == nil ? .zero : Limits.oplogAwaitMax
        return try await ask(
            SourcePositionRequest(awaitedCommitPoint: target), timeout: Limits.peerCallTimeout + wait
        ) { $0 }
    }
}
