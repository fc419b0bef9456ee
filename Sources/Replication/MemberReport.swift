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

    init?(_ view: DocumentView) {
        guard let written = view["writtenOpTime"]?.asDocument.flatMap({ OpTime($0) }),
            let applied = view["opTime"]?.asDocument.flatMap({ OpTime($0) }),
            let durable = view["durableOpTime"]?.asDocument.flatMap({ OpTime($0) })
        else { return nil }
        self.init(
            written: written, applied: applied, durable: durable,
            appliedAt: WallTime(milliseconds: view["wallTime"]?.asDateTime ?? 0))
    }
}

/// What a member says of itself, in heartbeats both ways: a request tells its receiver as much as an answer, so that a
/// new primary is known after half a round trip.
public struct MemberReport: Sendable, Equatable {
    /// `settings.replicaSetId` of its configuration: sets of one name are told apart by it.
    public var setID: ObjectID?
    public var incarnation: Incarnation
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

    init?(_ view: DocumentView) {
        guard let incarnation = view["incarnation"]?.asDocument.flatMap({ Incarnation($0) }),
            let state = view["state"]?.asInteger.flatMap({ Int32(exactly: $0) }).flatMap(MemberState.init(rawValue:)),
            let term = view["term"]?.asInteger,
            let version = view["configVersion"]?.asInteger,
            let configTerm = view["configTerm"]?.asInteger,
            let progress = Progress(view),
            let commitPoint = view["lastCommittedOpTime"]?.asDocument.flatMap({ OpTime($0) })
        else { return nil }
        setID = view["replicaSetId"]?.asObjectID
        self.incarnation = incarnation
        isVolatile = view["volatile"]?.asBool ?? false
        self.state = state
        self.term = term
        config = ConfigVersion(version: version, term: configTerm)
        self.progress = progress
        self.commitPoint = commitPoint
        let primary = view["primaryId"]?.asInteger.flatMap { MemberID(exactly: $0) } ?? -1
        primaryID = primary >= 0 ? primary : nil
        syncSource = view["syncingTo"]?.asString
        electionTime = view["electionTime"]?.asTimestamp
        isElectable = view["electable"]?.asBool ?? false
        run = UInt64(bitPattern: view["run"]?.asInt64 ?? 0)
        number = UInt64(bitPattern: view["number"]?.asInt64 ?? 0)
    }

    init(
        setID: ObjectID? = nil, incarnation: Incarnation, isVolatile: Bool, state: MemberState, term: Int64,
        config: ConfigVersion,
        progress: Progress, commitPoint: OpTime, primaryID: MemberID?, syncSource: String?, electionTime: Timestamp?,
        isElectable: Bool, run: UInt64, number: UInt64
    ) {
        self.setID = setID
        self.incarnation = incarnation
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
