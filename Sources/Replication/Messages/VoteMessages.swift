public import BSON
public import Core

/// The vote that a member cast last, as stored in `local.replset.election`.
public struct LastVote: Sendable, Equatable {
    public var term: Int64
    public var candidateID: MemberID

    public init(term: Int64, candidateID: MemberID) {
        self.term = term
        self.candidateID = candidateID
    }

    public func encode(to writer: DocumentWriter) {
        writer.append("term", int64: term)
        writer.append("candidateIndex", int32: candidateID)
    }

    public init?(_ view: DocumentView) {
        guard let term = view["term"]?.asInteger,
            let candidate = view["candidateIndex"]?.asInteger.flatMap({ MemberID(exactly: $0) })
        else { return nil }
        self.init(term: term, candidateID: candidate)
    }
}

/// `replSetRequestVotes`.
public struct VoteRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = VoteResponse

    public var setName: String
    /// `settings.replicaSetId` of the candidate's configuration.
    public var setID: ObjectID?
    /// Changes nothing at the voter: asks how it would vote.
    public var isDryRun: Bool
    public var term: Int64
    public var candidateID: MemberID
    public var incarnation: Incarnation
    public var config: ConfigVersion
    public var lastWritten: OpTime
    public var reason: ElectionReason

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetRequestVotes", int32: 1)
        writer.append("setName", string: setName)
        if let setID { writer.append("replicaSetId", objectID: setID) }
        writer.append("dryRun", bool: isDryRun)
        writer.append("term", int64: term)
        writer.append("candidateIndex", int32: candidateID)
        writer.document("incarnation") { incarnation.encode(to: $0) }
        writer.append("configVersion", int64: config.version)
        writer.append("configTerm", int64: config.term)
        writer.append("lastWrittenOpTime", lastWritten)
        writer.append("reason", string: reason.rawValue)
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetRequestVotes")
        setName = try fields.string("setName")
        setID = try fields.optional("replicaSetId", fields.objectID)
        isDryRun = try fields.bool("dryRun")
        term = try fields.int64("term")
        candidateID = try fields.int32("candidateIndex")
        incarnation = try fields.incarnation("incarnation")
        config = ConfigVersion(version: try fields.int64("configVersion"), term: try fields.int64("configTerm"))
        lastWritten = try fields.optime("lastWrittenOpTime")
        reason = try fields.read("reason", "a reason for an election") {
            $0.asString.flatMap(ElectionReason.init(rawValue:))
        }
    }

    init(
        setName: String, setID: ObjectID? = nil, isDryRun: Bool, term: Int64, candidateID: MemberID,
        incarnation: Incarnation,
        config: ConfigVersion, lastWritten: OpTime, reason: ElectionReason
    ) {
        self.setName = setName
        self.setID = setID
        self.isDryRun = isDryRun
        self.term = term
        self.candidateID = candidateID
        self.incarnation = incarnation
        self.config = config
        self.lastWritten = lastWritten
        self.reason = reason
    }
}

/// The answer to `replSetRequestVotes`.
public struct VoteResponse: MemberReply, Sendable, Equatable {
    public var term: Int64
    public var isGranted: Bool
    /// Why not; empty when granted.
    public var reason: String
    public var incarnation: Incarnation

    public func encode(to writer: DocumentWriter) {
        writer.append("term", int64: term)
        writer.append("voteGranted", bool: isGranted)
        writer.append("reason", string: reason)
        writer.document("incarnation") { incarnation.encode(to: $0) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetRequestVotes's answer")
        term = try fields.int64("term")
        isGranted = try fields.bool("voteGranted")
        reason = try fields.string("reason")
        incarnation = try fields.incarnation("incarnation")
    }

    init(term: Int64, isGranted: Bool, reason: String, incarnation: Incarnation) {
        self.term = term
        self.isGranted = isGranted
        self.reason = reason
        self.incarnation = incarnation
    }
}
