public import Core

/// The course of an initial sync, as a value: from whom, in what order, when it begins again, when it is done.
///
/// Everything is cloned while the source keeps taking writes, and its oplog is fetched meanwhile (`CloneFetch`). Then
/// the entries from the beginning of the clone on are applied up to a stop point, with rules that allow for data newer
/// than the entry; then the indexes are built. The sync is done when the stop point is committed: below it nothing can
/// be undone here. What was fetched beyond is applied as a secondary does, which is what the member then becomes.
///
/// Directives are carried out one after the other; the last of them says by which event it is answered. An attempt that
/// cannot go on ends with `onFailed`, and another one follows.
public struct InitialSyncCourse: Sendable {
    /// What the member is doing, for people.
    public enum Phase: String, Sendable {
        case choosingSource = "choosing a sync source"
        case cloning = "cloning"
        case applying = "applying"
        case buildingIndexes = "building indexes"
        case awaitingCommit = "waiting for the stop point to be committed"
        case applyingRest = "applying what came last"
    }

    public enum Directive: Sendable {
        case enter(Phase)
        /// Wait until some member can be cloned (`Member.initialSyncSource`), then call `onSource`.
        case awaitSource
        /// Connect to it: another attempt begins.
        case connect(host: String)
        /// Close the connection.
        case disconnect
        /// Ask how far the source is, then call `onPosition`. The answer may wait until that entry is committed.
        case askPosition(awaiting: OpTime?)
        /// What this member has is thrown away, and with it its incarnation. The connection is made anew: the source
        /// has been told of the life that ends with that.
        case discardData
        /// Begin with empty data, and remember durably that they are not whole.
        case beginClone(rollbackID: Int32, from: OpTime)
        /// Fetch the source's oplog from that entry on, into a buffer.
        case startFetching(from: OpTime)
        /// Nothing more is fetched, and the buffer is emptied.
        case stopFetching
        /// Ask what there is and make empty collections of it, then call `onCollections`.
        case cloneDefinitions
        /// Ask for the next documents of that collection and store them, then call `onDocuments`.
        case cloneDocuments(place: Int, after: Int64)
        /// Ask for the next records of sessions and store them, then call `onSessions`.
        case cloneSessions(after: [UInt8])
        /// Wait for entries in the buffer and apply some, but none behind `through`; then call `onApplied`.
        case apply(through: OpTime)
        /// Ask for the documents again that an entry did not fit, then call `onMissingFetched`.
        case fetchMissing
        /// Build what indexes are still to be built, then call `onIndexesBuilt`.
        case buildIndexes
        /// The data are whole at the last entry, which may not be undone.
        case becomeReadable
        /// Look at what is left in the buffer, then call `onRest`.
        case lookAtRest
        /// Apply some of what is left as a secondary does.
        case applyRest
        /// Make everything durable.
        case flush
        /// Let others run.
        case yield
        /// The sync is done.
        case end
        /// The attempt is over; wait, then call `onStart`.
        case beginAgain(after: Duration, because: String, attempt: Int, isHopeless: Bool)
        case probe(StaticString)
    }

    private enum Stage: Sendable {
        case notBegun
        case asking
        case cloning
        /// `isAgain`: behind entries that were applied.
        case seekingStop(isAgain: Bool)
        case applying(through: OpTime)
        case awaitingCommit(of: OpTime)
        case readable
    }

    /// Who the source was when the attempt began.
    private struct Identity: Sendable, Equatable {
        let incarnation: Incarnation
        let rollbackID: Int32
    }

    /// What this member has is thrown away once a source is found, and kept until then.
    public private(set) var mustDiscard: Bool
    private var stage = Stage.notBegun
    private var identity: Identity?
    /// The commit point that the source has told of.
    public private(set) var committedAtSource = OpTime.null
    private var failedCount = 0
    private var collectionCount = 0
    private var place = 0
    /// How often what came while indexes were built has been applied.
    private var catchUps = 0

    public init(mustDiscard: Bool = false) { self.mustDiscard = mustDiscard }

    // MARK: The attempt begins

    public mutating func onStart() -> [Directive] {
        stage = .notBegun
        return [.enter(.choosingSource), .awaitSource]
    }

    public mutating func onSource(_ host: String) -> [Directive] {
        stage = .asking
        identity = nil
        catchUps = 0
        return [.connect(host: host), .askPosition(awaiting: nil)]
    }

    /// - Parameter last: the last entry of this member.
    public mutating func onPosition(_ position: SourcePositionReply, last: OpTime) -> [Directive] {
        if let why = confirm(position) { return onFailed(why) }
        let applied = position.metadata.applied
        switch stage {
        case .asking:
            guard !applied.isNull else { return onFailed("the source has no data yet") }
            stage = .cloning
            let discards = mustDiscard
            mustDiscard = false
            return (discards ? [.discardData] : []) + [
                .beginClone(rollbackID: position.metadata.rollbackID, from: applied), .startFetching(from: applied),
                .enter(.cloning), .cloneDefinitions,
            ]
        case .seekingStop(let isAgain):
            guard !applied.isNull else { return onFailed("the source has no data yet") }
            stage = .applying(through: applied)
            return (isAgain ? [.yield] : []) + applyOrBuild(last, through: applied)
        case .awaitingCommit(let target):
            return position.metadata.commitPoint >= target ? becomeReadable() : [.askPosition(awaiting: target)]
        case .notBegun, .cloning, .applying, .readable: return []
        }
    }

    // MARK: Whether the source is what it was

    /// nil: it is; otherwise why the attempt cannot go on.
    public mutating func confirm(_ position: SourcePositionReply) -> String? {
        let found = Identity(incarnation: position.incarnation, rollbackID: position.metadata.rollbackID)
        if let identity, identity.incarnation != position.incarnation {
            return "the source was started again and has forgotten what it had"
        }
        if let identity, identity != found { return "the source rolled back" }
        identity = found
        return nil
    }

    /// The same, of an answer with entries.
    public mutating func confirm(_ metadata: ReplicationMetadata) -> String? {
        guard metadata.rollbackID == identity?.rollbackID else { return "the source rolled back" }
        committedAtSource = max(committedAtSource, metadata.commitPoint)
        return nil
    }

    // MARK: The clone

    public mutating func onCollections(count: Int) -> [Directive] {
        collectionCount = count
        place = 0
        return cloneNext()
    }

    /// - Parameter next: behind which record to go on; nil when the collection is through.
    public mutating func onDocuments(next: Int64?) -> [Directive] {
        if let next { return [.cloneDocuments(place: place, after: next)] }
        place += 1
        return cloneNext()
    }

    private func cloneNext() -> [Directive] {
        [place < collectionCount ? .cloneDocuments(place: place, after: 0) : .cloneSessions(after: [])]
    }

    /// - Parameter next: behind which record to go on; nil when all are there.
    public mutating func onSessions(next: [UInt8]?) -> [Directive] {
        if let next { return [.cloneSessions(after: next)] }
        return seekStop()
    }

    // MARK: Behind the clone

    private mutating func seekStop() -> [Directive] {
        stage = .seekingStop(isAgain: false)
        return [.enter(.applying), .askPosition(awaiting: nil)]
    }

    private func applyOrBuild(_ last: OpTime, through stop: OpTime) -> [Directive] {
        last < stop ? [.apply(through: stop)] : [.enter(.buildingIndexes), .buildIndexes]
    }

    /// - Parameter missing: how many documents have to be asked for again.
    public mutating func onApplied(last: OpTime, missing: Int) -> [Directive] {
        guard case .applying(let stop) = stage else { return [] }
        if last >= stop, missing > 0 { return [.probe("initial sync fetched documents again"), .fetchMissing] }
        return [.yield] + applyOrBuild(last, through: stop)
    }

    /// What was fetched again may be newer than the stop point: another one is sought.
    public mutating func onMissingFetched() -> [Directive] {
        stage = .seekingStop(isAgain: true)
        return [.askPosition(awaiting: nil)]
    }

    /// What the source writes while indexes are built is applied as well, or a long build would leave this member
    /// behind the beginning of the source's oplog.
    /// - Parameter isCountedVoter: the voters of a new set cannot wait for a commit: without them there is no majority.
    ///   They have acknowledged nothing yet, so nothing is lost if what they cloned turns out not to last.
    public mutating func onIndexesBuilt(any: Bool, last: OpTime, isCountedVoter: Bool) -> [Directive] {
        var directives: [Directive] = []
        if any {
            catchUps += 1
            directives = [.probe("initial sync caught up again")]
            if catchUps < Limits.initialSyncCatchUpsMax { return directives + seekStop() }
        }
        if isCountedVoter { return directives + becomeReadable() }
        stage = .awaitingCommit(of: last)
        return directives + [.enter(.awaitingCommit), .askPosition(awaiting: last)]
    }

    // MARK: The end

    private mutating func becomeReadable() -> [Directive] {
        stage = .readable
        return [.becomeReadable, .enter(.applyingRest), .lookAtRest]
    }

    /// What was fetched beyond the stop point may be gone at a source that keeps little by the time it is asked for
    /// again. A delayed member must not have it yet.
    public mutating func onRest(isEmpty: Bool, delay: Duration) -> [Directive] {
        if !isEmpty, delay == .zero { return [.applyRest, .yield, .lookAtRest] }
        // From here on the positions count: a power cut must not find the data half done again.
        return [.flush, .stopFetching, .end, .disconnect]
    }

    /// The attempt cannot go on.
    /// - Parameter isError: the source answered with an error; otherwise something was found that makes the clone void.
    public mutating func onFailed(_ why: String, isError: Bool = false) -> [Directive] {
        failedCount += 1
        // Longer with every failure: what does not work is not tried ten times a second.
        let pause = Limits.initialSyncRetryDelay * min(failedCount, Limits.initialSyncAttemptsMax)
        return [.stopFetching] + (isError ? [] : [.probe("initial sync began again")]) + [
            .disconnect,
            .beginAgain(
                after: pause, because: why, attempt: failedCount,
                isHopeless: failedCount % Limits.initialSyncAttemptsMax == 0),
        ]
    }
}
