import Core

/// A configuration on its way to disk.
struct ConfigStore: Sendable {
    enum Purpose: Sendable { case heartbeat, stepUp, readmission, command }
    let token: PersistToken
    let config: ReplicaSetConfig
    let purpose: Purpose
}

/// A `replSetReconfig` under way.
struct PendingReconfig: Sendable {
    enum Stage: Sendable { case waitingForCurrent, storing, spreading }
    var stage = Stage.waitingForCurrent
    let request: RequestID
    let config: ReplicaSetConfig
    let isForced: Bool
    let deadline: Instant
}

/// A `replSetInitiate` under way.
struct PendingInitiate: Sendable {
    let request: RequestID
    var config: ReplicaSetConfig
    /// Exchange of each member's check, by place in the configuration; nil once it answered.
    var waitingFor: [Exchange?]
    var isStoring = false
    let deadline: Instant
}
