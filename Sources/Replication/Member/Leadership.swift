import Core

/// A term as primary.
struct Leadership: Sendable {
    enum Mode: Sendable { case catchingUp, draining, writable, attemptingStepDown }
    var mode = Mode.catchingUp
    let electedAt: Instant
    var catchUpTarget: OpTime?
    var catchUpDeadline: Instant?
    /// Members whose newest entries belong to another history than ours: nothing is to be had from them.
    var divergedSources: [MemberID] = []
    var hasDrained = false
    var hasNewConfig = false
    var askedForNoOp = false
    /// The no-op of this term: nothing is committed below it.
    var firstOpTime: OpTime?
    var stepDown: StepDownAttempt?
    var readmissions: [Readmission] = []
    /// The commit point when the current configuration was installed.
    var committedInPreviousConfig = OpTime.null
}

/// A conditional step-down under way.
struct StepDownAttempt: Sendable {
    let request: RequestID
    let isForced: Bool
    let catchUpDeadline: Instant
    let freezeUntil: Instant
}

/// A member that forgot (or is new) on its way to its vote.
struct Readmission: Sendable {
    let memberID: MemberID
    let incarnation: Incarnation
    var askedForNoOp = false
    /// What its initial sync must pass, written after its configuration without it was committed.
    var target: OpTime?
}
