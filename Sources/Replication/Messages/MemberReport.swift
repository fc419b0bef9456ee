public import BSON
public import Core

/// How far a member's oplog has come.
public struct Progress: Sendable, Equatable {
    /// In the oplog, perhaps not in the journal.
    public var written = OpTime.null
    public var applied = OpTime.null
    public var durable = OpTime.null
    /// Wall-clock time of the applied entry, for what users see.
    public var appliedAt = WallTime(milliseconds: 0)

    public init() {}
    public init(written: OpTime, applied: OpTime, durable: OpTime, appliedAt: WallTime = WallTime(milliseconds: 0)) {
        self.written = written
        self.applied = applied
        self.durable = durable
        self.appliedAt = appliedAt
    }
    /// All three at one entry.
    public init(all optime: OpTime) { self.init(written: optime, applied: optime, durable: optime) }

    /// The date of that entry, where it is the applied one.
    func wall(of optime: OpTime) -> WallTime? {
        optime == applied && appliedAt.milliseconds > 0 ? appliedAt : nil
    }

    /// Each mark at the later of the two; old news moves nothing.
    mutating func advance(to other: Progress) {
        written = max(written, other.written)
        durable = max(durable, other.durable)
        if other.applied > applied {
            applied = other.applied
            appliedAt = other.appliedAt
        }
    }

    func encode(to writer: DocumentWriter) {
        writer.append("writtenOpTime", written)
        writer.append("opTime", applied)
        writer.append("wallTime", dateTime: appliedAt.milliseconds)
        writer.append("durableOpTime", durable)
    }

    init(_ fields: MessageFields) throws(ServerError) {
        written = try fields.optime("writtenOpTime")
        applied = try fields.optime("opTime")
        durable = try fields.optime("durableOpTime")
        appliedAt = try fields.date("wallTime")
    }
}

/// What a member says of itself, in heartbeats both ways: a request tells its receiver as much as an answer, so that a
/// new primary is known after half a round trip.
public struct MemberReport: Sendable, Equatable {
    /// `settings.replicaSetId` of its configuration: sets of one name are told apart by it.
    public var setID: ObjectID?
    public var incarnation: Incarnation
    /// How often it was started with its data: what it said in an earlier run it may have lost.
    public var startCount: Int64
    /// Its engine forgets at a restart.
    public var isVolatile: Bool
    public var state: MemberState
    public var term: Int64
    public var config: ConfigVersion
    public var progress: Progress
    /// The commit point it knows.
    public var commitPoint: OpTime
    /// The member that it takes for primary.
    public var primaryID: MemberID?
    public var syncSource: String?
    /// Set while it is primary.
    public var electionTime: Timestamp?
    public var isElectable: Bool
    /// Tells an old report from a new one when they overtake one another: a number per run of the process, and the
    /// report's own.
    public var run: UInt64
    public var number: UInt64

    func encode(to writer: DocumentWriter) {
        if let setID { writer.append("replicaSetId", objectID: setID) }
        writer.document("incarnation") { incarnation.encode(to: $0) }
        writer.append("startCount", int64: startCount)
        if isVolatile { writer.append("volatile", bool: true) }
        writer.append("state", int32: state.rawValue)
        writer.append("term", int64: term)
        writer.append("configVersion", int64: config.version)
        writer.append("configTerm", int64: config.term)
        progress.encode(to: writer)
        writer.append("lastCommittedOpTime", commitPoint)
        writer.append("primaryId", int32: primaryID ?? -1)
        if let syncSource { writer.append("syncingTo", string: syncSource) }
        if let electionTime { writer.append("electionTime", timestamp: electionTime) }
        writer.append("electable", bool: isElectable)
        writer.append("run", int64: Int64(bitPattern: run))
        writer.append("number", int64: Int64(bitPattern: number))
    }

    init(_ fields: MessageFields) throws(ServerError) {
        setID = try fields.optional("replicaSetId", fields.objectID)
        incarnation = try fields.incarnation("incarnation")
        startCount = try fields.int64("startCount")
        isVolatile = try fields.optional("volatile", fields.bool) ?? false
        state = try fields.read("state", "a member's state") {
            $0.asInteger.flatMap { Int32(exactly: $0) }.flatMap(MemberState.init(rawValue:))
        }
        term = try fields.int64("term")
        config = ConfigVersion(version: try fields.int64("configVersion"), term: try fields.int64("configTerm"))
        progress = try Progress(fields)
        commitPoint = try fields.optime("lastCommittedOpTime")
        primaryID = try fields.memberID("primaryId")
        syncSource = try fields.optional("syncingTo", fields.string)
        electionTime = try fields.optional("electionTime", fields.timestamp)
        isElectable = try fields.bool("electable")
        run = try fields.bits("run")
        number = try fields.bits("number")
    }

    init(
        setID: ObjectID? = nil, incarnation: Incarnation, startCount: Int64 = 1, isVolatile: Bool, state: MemberState,
        term: Int64, config: ConfigVersion,
        progress: Progress, commitPoint: OpTime, primaryID: MemberID?, syncSource: String?, electionTime: Timestamp?,
        isElectable: Bool, run: UInt64, number: UInt64
    ) {
        self.setID = setID
        self.incarnation = incarnation
        self.startCount = startCount
        self.isVolatile = isVolatile
        self.state = state
        self.term = term
        self.config = config
        self.progress = progress
        self.commitPoint = commitPoint
        self.primaryID = primaryID
        self.syncSource = syncSource
        self.electionTime = electionTime
        self.isElectable = isElectable
        self.run = run
        self.number = number
    }
}
