public import BSON
public import Core

/// `replSetHeartbeat`. Also what is asked before there is a configuration, or before it changes.
public struct HeartbeatRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = HeartbeatResponse

    public enum Purpose: Sendable {
        case signOfLife
        /// Of `replSetInitiate`: could the receiver be initiated? It has no data and no configuration.
        case quorumCheck
        /// Of `replSetReconfig`: who is it that answers under this name? Means nothing else, and is answered in any
        /// state.
        case rollCall
    }

    public var setName: String
    /// Host of the sender as the configuration names it: where a heartbeat back goes.
    public var from: String
    /// nil while the sender has no place in a configuration.
    public var fromID: MemberID?
    /// Host of the receiver as the sender's configuration names it: tells a member how others call it.
    public var to: String?
    public var report: MemberReport
    public var purpose = Purpose.signOfLife

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetHeartbeat", string: setName)
        writer.append("from", string: from)
        writer.append("fromId", int32: fromID ?? -1)
        if let to { writer.append("to", string: to) }
        report.encode(to: writer)
        switch purpose {
        case .signOfLife: break
        case .quorumCheck: writer.append("checkEmpty", bool: true)
        case .rollCall: writer.append("rollCall", bool: true)
        }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetHeartbeat")
        setName = try fields.string("replSetHeartbeat")
        from = try fields.string("from")
        fromID = try fields.memberID("fromId")
        to = try fields.optional("to", fields.string)
        report = try MemberReport(fields)
        if try fields.optional("checkEmpty", fields.bool) == true {
            purpose = .quorumCheck
        } else if try fields.optional("rollCall", fields.bool) == true {
            purpose = .rollCall
        }
    }

    init(
        setName: String, from: String, fromID: MemberID?, to: String? = nil, report: MemberReport,
        purpose: Purpose = .signOfLife
    ) {
        self.to = to
        self.setName = setName
        self.from = from
        self.fromID = fromID
        self.report = report
        self.purpose = purpose
    }
}

/// The answer to `replSetHeartbeat`.
public struct HeartbeatResponse: MemberReply, Sendable, Equatable {
    public var setName: String
    /// Which member the responder takes itself for; nil without a place in a configuration.
    public var memberID: MemberID?
    public var report: MemberReport
    /// The responder's configuration, when it is newer than the sender's.
    public var config: ReplicaSetConfig?

    public func encode(to writer: DocumentWriter) {
        writer.append("set", string: setName)
        writer.append("memberId", int32: memberID ?? -1)
        report.encode(to: writer)
        if let config { writer.document("config") { config.encode(to: $0, internalFields: true) } }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetHeartbeat's answer")
        setName = try fields.string("set")
        memberID = try fields.memberID("memberId")
        report = try MemberReport(fields)
        guard let document = try fields.optional("config", fields.document) else { return }
        config = try ReplicaSetConfig(storedDocument: document)
    }

    init(setName: String, memberID: MemberID? = nil, report: MemberReport, config: ReplicaSetConfig? = nil) {
        self.setName = setName
        self.memberID = memberID
        self.report = report
        self.config = config
    }

    /// Who it is that answers.
    var voice: RollCall.Voice { RollCall.Voice(run: report.run, incarnation: report.incarnation) }
}
