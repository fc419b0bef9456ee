internal import Core
internal import Replication

/// Who wants the copy that an initial sync makes: a member, or a backup. Not a plug point.
protocol InitialSyncHost: AnyObject {
    var node: Node { get }
    /// Voters of a new set cannot wait for a commit: without them there is no majority.
    var isCountedVoter: Bool { get }
    /// How long entries must wait that lie behind the point at which the copy is whole.
    var ownDelay: Duration { get }

    /// Whom to copy; nil while there is nobody.
    func initialSyncSource() -> String?
    /// Whether there are signs of life of it.
    func isUp(_ host: String) -> Bool
    /// A new connection to it.
    func makeLink(to host: String) -> PeerLink
    /// The source has not answered a question.
    func onNoAnswer(_ error: ServerError, _ outage: inout SourceOutage) -> SourceOutage.Verdict
    /// It does not answer: others are asked for a while.
    func denySource(_ host: String)
    /// An attempt has failed; whether there is to be another.
    func mayTryAgain(_ why: String, attempt: Int) -> Bool
    /// What there is is thrown away, and with it the incarnation.
    func discardData() async throws
    /// The data are there.
    func initialSyncFinished(_ sync: InitialSync)
}

extension ReplicaSetRole: InitialSyncHost {
    var isCountedVoter: Bool { member.isCountedVoter }
    var ownDelay: Duration { member.ownDelay }
    func initialSyncSource() -> String? { member.initialSyncSource(now: runtime.now) }
    func isUp(_ host: String) -> Bool { member.isUp(host) }
    func onNoAnswer(_ error: ServerError, _ outage: inout SourceOutage) -> SourceOutage.Verdict {
        outage.onNoAnswer(error, member, now: runtime.now)
    }
    /// A member has nothing else to do.
    func mayTryAgain(_ why: String, attempt: Int) -> Bool { true }
}
