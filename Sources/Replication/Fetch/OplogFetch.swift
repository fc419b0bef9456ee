public import Core

/// How a member that follows fetches the oplog of its sync source, as a value: what is asked when, what follows from an
/// answer, when entries that were fetched may be applied.
///
/// The source holds a request back until it has something new, so one request is under way at any time. A delayed
/// member holds entries until they are old enough; until then it has not got them, whoever asks.
///
/// The shell calls `on…` for what happened and carries out the directives that come back, in order and each to its end,
/// before it does anything else. Carrying one out may raise further events, whose directives are carried out at once:
/// after one that tells the member something, the next that depends on the state of the world is `goOn`.
public struct OplogFetch: Sendable {
    /// What the shell knows when it raises an event.
    public struct Situation: Sendable, Equatable {
        /// The last entry that has been applied.
        public var lastEntry: OpTime
        public var term: Int64
        public var commitPoint: OpTime
        public var isPrimary: Bool
        public var primaryHost: String?
        /// Whether entries might be fetched from another member than the primary.
        public var hasOtherSource: Bool
        /// `secondaryDelaySecs` of this member.
        public var delay: Duration
        public var wallClock: WallTime
        /// How long the source may hold a request back.
        public var awaitTime: Duration
        /// Nothing is fetched or applied, because of a fail point or a lock; what comes in is dropped.
        public var isPaused: Bool
        public var isInInitialSync: Bool
        public var isRollingBack: Bool

        public init(
            lastEntry: OpTime, term: Int64, commitPoint: OpTime, isPrimary: Bool, primaryHost: String?,
            hasOtherSource: Bool, delay: Duration, wallClock: WallTime, awaitTime: Duration, isPaused: Bool,
            isInInitialSync: Bool, isRollingBack: Bool
        ) {
            self.lastEntry = lastEntry
            self.term = term
            self.commitPoint = commitPoint
            self.isPrimary = isPrimary
            self.primaryHost = primaryHost
            self.hasOtherSource = hasOtherSource
            self.delay = delay
            self.wallClock = wallClock
            self.awaitTime = awaitTime
            self.isPaused = isPaused
            self.isInInitialSync = isInInitialSync
            self.isRollingBack = isRollingBack
        }
    }

    /// What the shell carries out, in the order given.
    public enum Directive: Sendable {
        case connect(host: String)
        /// Close the connection: no answer to anything is wanted any more.
        case disconnect
        /// Send; report by `onAnswer`, or by `onNoAnswer` when there is none within `timeout`.
        case request(FetchOplogRequest, Exchange, timeout: Duration)
        /// Apply the entries of the answer that are new, then call `onFrameTaken`.
        case applyFrame
        /// Add the entries of the answer that are new to `held`, then call `onFrameTaken`.
        case holdFrame
        /// Apply from `held` what is old enough, for a slice of the loop at most, then call `onHeldApplied`.
        case applyHeld(delay: Duration)
        /// Call `onHeldDue` after that time, and not at any time set before.
        case setTimer(after: Duration)
        /// Finish the index build that an entry waits for, then call `onBuildFinished`.
        case finishIndexBuild
        /// Bring into memory what an entry needs, then call `onPrefetched`. The answer that it came with is kept.
        case prefetch
        /// Tell the member what has been applied.
        case report
        /// Tell the member of a batch, with what the source says of itself: `Member.onBatchFetched`.
        case tellBatch(from: MemberID, ReplicationMetadata)
        /// Tell the member that the source will not do: `Member.onSyncSourceFailed`.
        case tellSourceFailed(MemberID, deniedFor: Duration)
        /// Tell the member that the one it catches up from has another history: `Member.onCatchUpSourceDiverged`.
        case tellCatchUpDiverged(MemberID)
        /// What was fetched has been applied, and nothing more will be: `Member.onDrained`.
        case tellDrained(term: Int64)
        /// This member has entries that the source has not: take them back.
        case rollBack(source: MemberID, host: String)
        /// Nothing joins this member's history to the set's: clone the data anew.
        case resynchronize(because: OplogAnswer)
        /// Call `onReady`, with the situation as it is by then.
        case goOn
        case log(String)
        case probe(StaticString)
        /// Why nothing happened.
        case ignored(Ignored)
    }

    /// What became of entries that were to be applied.
    public enum Outcome: Sendable, Equatable {
        case taken
        /// One commits an index build that is not through here: nothing is applied before it is.
        case waitsForIndexBuild
        /// One needs what is not in memory: neither it nor those behind it were applied.
        case waitsForStorage
        /// They cannot be read.
        case damaged(String)
    }

    private struct Source: Sendable {
        let id: MemberID
        let host: String
        /// Its rollback id when we began to follow it.
        var rollbackID: Int32?
    }

    private let mutants: Mutants
    private var source: Source?
    private var exchanges: UInt64 = 0
    /// The request under way.
    private var awaited: Exchange?
    /// The answer whose entries are being taken.
    private var batch: (source: MemberID, metadata: ReplicationMetadata)?
    /// An entry waits for an index build, or for the storage, before it can be applied; nothing is fetched meanwhile.
    private var isHeldUp = false
    /// The term of an election that waits until what was fetched has been applied.
    private var drainingTerm: Int64?
    /// Our last entry when the primary's log was found to begin behind it.
    private var primaryBeganBehind: OpTime?
    /// What may not be applied yet. The shell adds and removes entries.
    public var held = DelayedEntries()

    public init(mutants: Mutants = []) { self.mutants = mutants }

    public var isFollowing: Bool { source != nil }

    // MARK: The source

    /// The member has chosen a source, or nobody.
    public mutating func onSourceChosen(_ id: MemberID?, host: String?, _ now: Situation) -> [Directive] {
        if id == source?.id, host == source?.host { return ask(now) }
        let directives = onStop()
        guard let id, let host else { return directives }
        source = Source(id: id, host: host)
        return directives + [.connect(host: host)] + ask(now)
    }

    /// Nothing more is to be fetched. What was fetched has been applied; what is held for a delay would have to be
    /// taken back if it is of another history, and whoever is followed next has it.
    public mutating func onStop() -> [Directive] {
        source = nil
        awaited = nil
        held.removeAll()
        // Entries that wait for the storage are dropped: whoever is followed next has them.
        if isHeldUp { batch = nil }
        return [.disconnect]
    }

    /// This member was elected.
    public mutating func onDrain(term: Int64) -> [Directive] {
        let directives = onStop()
        guard isHeldUp else { return directives + [.tellDrained(term: term)] }
        drainingTerm = term
        return directives
    }

    private mutating func fail(_ why: String, deniedFor denial: Duration) -> [Directive] {
        guard let source else { return [.ignored(.notFromSyncSource)] }
        return [.log("sync source \(source.host): \(why)")] + onStop()
            + [.tellSourceFailed(source.id, deniedFor: denial)]
    }

    // MARK: Asking

    /// Something has changed that may let this member ask again.
    public mutating func onReady(_ now: Situation) -> [Directive] { ask(now) }

    private mutating func ask(_ now: Situation) -> [Directive] {
        let after = held.last ?? now.lastEntry
        guard source != nil, awaited == nil, !isHeldUp, !held.isFull, !now.isInInitialSync, !now.isRollingBack,
            !now.isPaused, !after.isNull
        else { return [] }
        exchanges += 1
        let exchange = Exchange(exchanges)
        awaited = exchange
        let request = FetchOplogRequest(
            .following(term: now.term), after: after, knownCommitPoint: now.commitPoint,
            awaitMillis: now.awaitTime.wholeMilliseconds)
        return [.request(request, exchange, timeout: now.awaitTime + Limits.peerRequestTimeout)]
    }

    // MARK: Answers

    /// No answer came, or one that cannot be read.
    public mutating func onNoAnswer(
        _ exchange: Exchange, _ why: String, isUnreadable: Bool, _ now: Situation
    ) -> [Directive] {
        guard exchange == awaited else { return [.ignored(.olderExchange)] }
        awaited = nil
        if now.isPaused { return [] }
        return fail(why, deniedFor: isUnreadable ? Limits.syncSourceDenialLong : Limits.syncSourceDenialShort)
    }

    public mutating func onAnswer(
        _ exchange: Exchange, _ answer: OplogAnswer, _ metadata: ReplicationMetadata, _ now: Situation
    ) -> [Directive] {
        guard exchange == awaited, let source else { return [.ignored(.olderExchange)] }
        awaited = nil
        // Dropped, to be asked for again when it goes on.
        if now.isPaused { return [] }
        if let known = source.rollbackID, known != metadata.rollbackID {
            return fail("it rolled back meanwhile", deniedFor: Limits.syncSourceDenialShort)
        }
        self.source?.rollbackID = metadata.rollbackID
        // Sent before the source knew our term: what it says may be a deposed primary's, and a member that took it
        // after it voted would have to throw it away again (Raft §5.1). The next request tells the source of the term.
        if metadata.term < now.term, !mutants.isActive(.staleTermAccepted) {
            return [.probe("batch of an older term dropped")] + ask(now)
        }
        batch = (source.id, metadata)
        switch answer {
        case .entries: return [now.delay > .zero || !held.isEmpty ? .holdFrame : .applyFrame]
        case .nothingNew: return endBatch()
        case .behind: return fail("it is behind us", deniedFor: Limits.syncSourceDenialShort)
        case .stale, .diverged: return onOtherHistory(answer, source, now)
        }
    }

    private mutating func onOtherHistory(_ answer: OplogAnswer, _ source: Source, _ now: Situation) -> [Directive] {
        if !held.isEmpty {
            // What is held was never applied: it is dropped, and the question asked again behind what was.
            held.removeAll()
            return ask(now)
        }
        if now.isPrimary { return [.tellCatchUpDiverged(source.id)] }
        if answer == .diverged { return [.rollBack(source: source.id, host: source.host)] }
        // A member that was cloned of late has a short log; the primary has the last word.
        guard source.host == now.primaryHost else {
            return fail("its oplog begins behind our last entry", deniedFor: Limits.syncSourceDenialShort)
        }
        // The primary may be one that was cloned of late: the others are asked before everything is cloned anew.
        if now.hasOtherSource, primaryBeganBehind != now.lastEntry {
            primaryBeganBehind = now.lastEntry
            return fail(
                "the primary's oplog begins behind our last entry", deniedFor: Limits.syncSourceDenialShort)
        }
        return [.resynchronize(because: answer)]
    }

    /// The entries of an answer were applied, or are held.
    public mutating func onFrameTaken(_ outcome: Outcome, _ now: Situation) -> [Directive] {
        switch outcome {
        case .damaged(let why):
            batch = nil
            return fail("a damaged batch: \(why)", deniedFor: Limits.syncSourceDenialShort)
        case .waitsForIndexBuild: return holdUp() + endBatch()
        case .waitsForStorage: return awaitStorage()
        case .taken: return applyHeld(now) + endBatch()
        }
    }

    private mutating func endBatch() -> [Directive] {
        guard let ended = batch else { return [] }
        batch = nil
        return [.report, .tellBatch(from: ended.source, ended.metadata), .goOn]
    }

    // MARK: Delay

    /// The timer has fired, or the configuration has changed, and with it perhaps the delay.
    public mutating func onHeldDue(_ now: Situation) -> [Directive] { applyHeld(now) }

    private func applyHeld(_ now: Situation) -> [Directive] {
        guard !isHeldUp, !now.isRollingBack, !now.isPaused, let wait = held.wait(for: now.delay, at: now.wallClock)
        else { return [] }
        return wait == .zero ? [.applyHeld(delay: now.delay)] : [timer(wait)]
    }

    /// A slice of what was held has been applied.
    public mutating func onHeldApplied(_ outcome: Outcome, _ now: Situation) -> [Directive] {
        var directives: [Directive] = []
        switch outcome {
        case .waitsForIndexBuild: directives = holdUp()
        case .waitsForStorage: directives = awaitStorage()
        case .taken, .damaged:
            if let wait = held.wait(for: now.delay, at: now.wallClock) { directives = [timer(wait)] }
        }
        return directives + [.report, .goOn]
    }

    private func timer(_ wait: Duration) -> Directive { .setTimer(after: max(wait, .milliseconds(1))) }

    // MARK: Waiting

    private mutating func awaitStorage() -> [Directive] {
        isHeldUp = true
        return [.probe("entry waited for the storage"), .prefetch]
    }

    /// What an entry waited for is in memory: on with the answer that it came with, if that still counts.
    public mutating func onPrefetched(_ now: Situation) -> [Directive] {
        guard batch != nil, !now.isInInitialSync, !now.isRollingBack, !now.isPaused else {
            batch = nil
            return onBuildFinished(now)
        }
        isHeldUp = false
        return [.applyFrame]
    }

    private mutating func holdUp() -> [Directive] {
        isHeldUp = true
        return [.probe("entry waited for an index build"), .finishIndexBuild]
    }

    /// The build is through: on from the entry that waited for it.
    public mutating func onBuildFinished(_ now: Situation) -> [Directive] {
        isHeldUp = false
        var directives: [Directive] = []
        if let term = drainingTerm {
            drainingTerm = nil
            directives = [.tellDrained(term: term)]
        }
        return directives + applyHeld(now) + [.goOn]
    }
}
