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
public struct VoteRequest: Sendable, Equatable {
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

    public init?(_ view: DocumentView) {
        guard view["replSetRequestVotes"] != nil,
            let setName = view["setName"]?.asString,
            let isDryRun = view["dryRun"]?.asBool,
            let term = view["term"]?.asInteger,
            let candidate = view["candidateIndex"]?.asInteger.flatMap({ MemberID(exactly: $0) }),
            let incarnation = view["incarnation"]?.asDocument.flatMap({ Incarnation($0) }),
            let version = view["configVersion"]?.asInteger,
            let configTerm = view["configTerm"]?.asInteger,
            let lastWritten = view["lastWrittenOpTime"]?.asDocument.flatMap({ OpTime($0) }),
            let reason = view["reason"]?.asString.flatMap(ElectionReason.init(rawValue:))
        else { return nil }
        self.init(
            setName: setName, setID: view["replicaSetId"]?.asObjectID, isDryRun: isDryRun, term: term,
            candidateID: candidate, incarnation: incarnation,
            config: ConfigVersion(version: version, term: configTerm), lastWritten: lastWritten, reason: reason)
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
public struct VoteResponse: Sendable, Equatable {
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

    public init?(_ view: DocumentView) {
        guard let term = view["term"]?.asInteger, let granted = view["voteGranted"]?.asBool,
            let incarnation = view["incarnation"]?.asDocument.flatMap({ Incarnation($0) })
        else { return nil }
        self.init(term: term, isGranted: granted, reason: view["reason"]?.asString ?? "", incarnation: incarnation)
    }

    init(term: Int64, isGranted: Bool, reason: String, incarnation: Incarnation) {
        self.term = term
        self.isGranted = isGranted
        self.reason = reason
        self.incarnation = incarnation
    }
}
