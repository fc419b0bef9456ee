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
    enum Stage: Sendable { case callingRoll, waitingForCurrent, storing, spreading }
    var stage = Stage.callingRoll
    let request: RequestID
    let config: ReplicaSetConfig
    let isForced: Bool
    var rollCall: RollCall
    /// Members that have another name in it and are known to be the same.
    var renamed: [MemberID] = []
    let deadline: Instant
}

/// A `replSetInitiate` under way.
struct PendingInitiate: Sendable {
    let request: RequestID
    var config: ReplicaSetConfig
    /// Who could be initiated, and is who; silence is an end, so its deadline is that of the whole.
    var rollCall: RollCall
    var isStoring = false
    var deadline: Instant { rollCall.deadline }
}
