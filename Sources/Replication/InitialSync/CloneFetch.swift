public import Core

/// How the source's oplog is fetched while an initial sync clones, as a value: nothing may be missing when the clone is
/// through, however little the source keeps.
///
/// What comes waits in a buffer. While that is full nothing is asked for; the source, which learns with each request
/// how far this member is, keeps what is still to be fetched.
public struct CloneFetch: Sendable {
    public enum Directive: Sendable {
        /// Wait until something has been taken out of the buffer, then call `onReady`.
        case awaitRoom
        /// Send, then call `onAnswer`.
        case request(FetchOplogRequest)
        /// Look at the entries of the answer, then call `onFrame` with the last one's optime.
        case openFrame
        /// Put the entries into the buffer.
        case store
        /// Call `onReady`.
        case goOn
        /// The attempt cannot go on.
        case fail(String)
        case probe(StaticString)
    }

    /// The last entry that was fetched; before there is one, the first that is wanted.
    private var last: OpTime
    private var hasFirst = false

    /// - Parameter begin: the first entry to fetch.
    public init(from begin: OpTime) { last = begin }

    /// - Parameter knownCommitPoint: the commit point that the source has told of.
    public func onReady(isFull: Bool, knownCommitPoint: OpTime) -> [Directive] {
        if isFull { return [.probe("initial sync's buffer was full"), .awaitRoom] }
        return [
            .request(
                FetchOplogRequest(
                    .initialSync(isInclusive: !hasFirst), after: last, knownCommitPoint: knownCommitPoint,
                    awaitMillis: 1000))
        ]
    }

    public func onAnswer(_ answer: OplogAnswer) -> [Directive] {
        switch answer {
        case .entries: [.openFrame]
        case .nothingNew: [.goOn]
        case .behind, .stale, .diverged:
            [.fail("the source no longer has the entries that were written while it was cloned")]
        }
    }

    /// - Parameter end: the last entry of an answer.
    public mutating func onFrame(end: OpTime) -> [Directive] {
        guard end > last || !hasFirst && end == last else {
            return [.fail("a batch that does not go on behind \(last)")]
        }
        last = end
        hasFirst = true
        return [.store, .goOn]
    }
}
