import Core

/// One try to become primary.
struct Candidacy: Sendable {
    enum Phase: Sendable { case dryRun, persisting, voting }
    var phase: Phase
    let reason: ElectionReason
    /// The command that asked for it.
    let request: RequestID?
    /// The term it is for; in a dry run the current one.
    var term: Int64
    /// Votes count only for the configuration that they were asked under.
    let config: ConfigVersion
    var exchange: Exchange
    var ayes: [MemberID]
    var noes: [MemberID] = []
    var persisting: PersistToken?
    var deadline: Instant
}
