public import Core

/// A request that the shell took in and that a later directive answers. The shell numbers them.
public struct RequestID: Hashable, Sendable {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
}

/// What the shell gives back with the answer to a message, so that an answer is matched to its question.
public struct Exchange: Hashable, Sendable {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
}

/// A durable write that the member waits for. Writes of one kind must become durable in the order of their directives.
public struct PersistToken: Hashable, Sendable {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
}

/// What the shell carries out for a `Member`, in the order given. Directives of one call belong together.
public enum Directive: Sendable {
    // MARK: Messages

    /// Send; report by `onHeartbeatResponse` or `onHeartbeatFailure`, also when no answer came within `timeout`.
    case sendHeartbeat(to: String, HeartbeatRequest, Exchange, timeout: Duration)
    /// Send; report by `onVoteResponse`, or by `onVoteFailure` when there is no answer or an error.
    case sendVoteRequest(to: String, MemberID, VoteRequest, Exchange)
    /// Send; report by `onUpdatePositionDone`.
    case sendUpdatePosition(to: String, UpdatePosition)
    /// Send `replSetStepUp {skipDryRun: true}`; the outcome does not matter.
    case sendStepUp(to: String, MemberID)
    /// Answers a heartbeat that the shell took in.
    case replyToHeartbeat(RequestID, HeartbeatResponse)
    /// Answers a request for a vote that the shell took in.
    case replyToVoteRequest(RequestID, VoteResponse)
    /// Answers a command: nil is success.
    case complete(RequestID, ServerError?)

    // MARK: Durable state

    /// Write to `local.replset.election`, durably, then call `onVotePersisted`.
    case persistVote(LastVote, PersistToken)
    /// Write to `local.system.replset`, durably, then call `onConfigPersisted`.
    case persistConfig(ReplicaSetConfig, PersistToken)
    /// Write the configuration and the oplog's first entry (`initiating set`, in `Member.initiatingTerm`), durably,
    /// then call `onInitiated`.
    case initiate(ReplicaSetConfig)
    /// Keep the names under which this member is reached, to be known after a restart.
    case persistOwnHosts([String])

    // MARK: Role and data

    /// The state that this member shows has changed.
    case stateChanged(MemberState)
    /// The oplog is empty: clone from a member. `onFollowerState(.secondary)` ends it.
    case startInitialSync
    /// Fetch from that member, or from nobody.
    case setSyncSource(MemberID?, host: String?)
    /// Elected and caught up: stop fetching, apply what is buffered, then call `onDrained`.
    case drain(term: Int64)
    /// Append a no-op in the current term, then call `onNoOpWritten`.
    case writeNoOp(NoOpPurpose)
    /// Take no more writes; interrupt those that wait for a lock.
    case stopWrites
    /// Writes are taken again, or for the first time in this term.
    case startWrites(term: Int64)
    /// No longer primary. Waiters have been told already.
    case steppedDown(StepDownReason)
    case commitPointAdvanced(OpTime)

    // MARK: Those who wait

    case completeWaiter(WaiterID, WaiterResult)
    /// Something that `hello` shows has changed: bump `topologyVersion`, answer all awaited hellos.
    case topologyChanged

    // MARK: For people

    case log(LogLevel, String)
    /// Why nothing happened.
    case ignored(Ignored)
    /// A rare path was taken: the simulator counts it.
    case probe(StaticString)
}

/// What a no-op entry is for.
public enum NoOpPurpose: Hashable, Sendable {
    /// First entry of a term, `{msg: "new primary"}`.
    case newPrimary(term: Int64)
    /// Marks the point that a member which forgot must pass before it votes again.
    case readmission(MemberID)
}

/// Why a primary is none any more.
public enum StepDownReason: Hashable, Sendable {
    case higherTerm(Int64)
    case lostMajority
    case newConfig
    case command
    case shutdown
}

/// Why an event had no effect.
public enum Ignored: Hashable, Sendable {
    case olderTerm
    case olderIncarnation
    /// What a member said before it was started again.
    case olderRun
    case olderExchange
    case unknownMember
    /// A member that has a place already answers under the name of another.
    case otherMember
    /// Another set, of another name or of the same.
    case wrongSet
    case notInitialized
    case notCandidate
    case notPrimary
    case notFromSyncSource
    case olderConfig
    /// The policy wanted to stand and may not.
    case mayNotStand(String)
    case policyAnswerOutOfPlace
}

/// Names a waiter. The shell numbers them.
public struct WaiterID: Hashable, Sendable {
    public let number: UInt64
    public init(_ number: UInt64) { self.number = number }
}

/// How a wait ended.
public enum WaiterResult: Sendable {
    case satisfied
    /// The deadline passed; the write stays (`WriteConcernTimeout`, `MaxTimeMSExpired`).
    case timedOut
    case failed(ServerError)
}
