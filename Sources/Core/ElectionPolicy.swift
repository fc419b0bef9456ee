/// **Plug point.** Decides when a member stands for election, and whom it would rather see as primary.
///
/// Purpose: a member asks its policy at every event that bears on elections (`ElectionEvent`) and follows the answer.
///
/// Contract:
/// - Pure: the answer depends on the event and the view alone. No clock, no state, no randomness but `view.random`.
/// - Called synchronously on the member's loop; must return within microseconds and must not call back.
/// - Two timers belong to the policy, one for elections and one for takeovers. `wait` sets one, `abstain` leaves both.
/// - An answer that does not belong to the event (a dry-run answer to a timer) is ignored.
/// - It cannot be wrong, only slow: terms, one vote a term, persisted votes, log and config freshness stay with the
///   member whatever it says. `stand` is refused while `view.mayStand` is false.
///
/// How to implement: see `FixedElectionPolicy` in `Plugins/ElectionPolicies` for the smallest. Answer `.started` and
/// `.primaryHeard` with `wait(until:for: .election)`, or the member never stands.
/// You are guaranteed: `members` holds this member; `started` comes before any other event; every failed try is
/// reported by `candidacyFailed` before the next question.
/// Conformance suite: `ElectionPolicyConformance` of the Conformance module.
public protocol ElectionPolicy: Sendable {
    /// As in `--election-policy`.
    var name: String { get }
    /// Answers one event.
    func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision
}

/// A policy's two timers.
public enum ElectionTimer: Sendable {
    case election
    /// Stands against a living primary of lower priority or older data; forgotten when the primary changes.
    case takeover(ElectionReason)
}

/// What a policy answers. Made by the static members; more kinds may be added.
public struct ElectionDecision: Sendable {
    /// For the member that carries the answer out.
    public enum Kind: Sendable {
        case wait(until: Instant, timer: ElectionTimer)
        case cancelTakeover
        case stand(ElectionReason)
        case abstain
        case handOff(to: MemberID)
        case grantDryRun
        case refuseDryRun(String)
    }
    public let kind: Kind

    private init(_ kind: Kind) { self.kind = kind }

    /// Ask again at `instant`. Replaces what the timer was set to.
    public static func wait(until instant: Instant, for timer: ElectionTimer = .election) -> ElectionDecision {
        .init(.wait(until: instant, timer: timer))
    }
    /// The reasons for a takeover are gone.
    public static var cancelTakeover: ElectionDecision { .init(.cancelTakeover) }
    /// Stand for election now, with a dry run first.
    public static func standNow(_ reason: ElectionReason) -> ElectionDecision { .init(.stand(reason)) }
    /// Do nothing; the timers stay as they are. To `steppingDown`: let the others find out for themselves.
    public static var abstain: ElectionDecision { .init(.abstain) }
    /// Answer to `steppingDown`: tell that member to stand at once.
    public static func handOff(to member: MemberID) -> ElectionDecision { .init(.handOff(to: member)) }
    /// Answer to `dryRunRequested`.
    public static var grantDryRun: ElectionDecision { .init(.grantDryRun) }
    /// Answer to `dryRunRequested`; the reason is sent to the candidate.
    public static func refuseDryRun(_ reason: String) -> ElectionDecision { .init(.refuseDryRun(reason)) }
}

extension ElectionView {
    /// Of `candidates` (all caught up), the one of highest priority; among equals the freshest, then the lowest id.
    public func bestCandidate(_ candidates: [MemberID]) -> MemberID? {
        members.filter { candidates.contains($0.id) && !$0.isSelf }
            .min { a, b in
                if a.priority != b.priority { return a.priority > b.priority }
                return a.applied != b.applied ? a.applied > b.applied : a.id < b.id
            }?.id
    }
}
