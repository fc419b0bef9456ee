public import BSON
public import Core

/// `replSetHeartbeat`. Also the quorum check of `replSetInitiate`, with `isQuorumCheck`.
public struct HeartbeatRequest: Sendable, Equatable {
    public var setName: String
    /// Host of the sender as the configuration names it: where a heartbeat back goes.
    public var from: String
    /// nil while the sender has no place in a configuration.
    public var fromID: MemberID?
    /// Host of the receiver as the sender's configuration names it: tells a member how others call it.
    public var to: String?
    public var report: MemberReport
    /// Asks whether the receiver could be initiated: no data, no configuration.
    public var isQuorumCheck = false

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetHeartbeat", string: setName)
        writer.append("from", string: from)
        writer.append("fromId", int32: fromID ?? -1)
        if let to { writer.append("to", string: to) }
        report.encode(to: writer)
        if isQuorumCheck { writer.append("checkEmpty", bool: true) }
    }

    public init?(_ view: DocumentView) {
        guard let setName = view["replSetHeartbeat"]?.asString, let from = view["from"]?.asString,
            let id = view["fromId"]?.asInteger.flatMap({ MemberID(exactly: $0) }), let report = MemberReport(view)
        else { return nil }
        self.setName = setName
        self.from = from
        fromID = id >= 0 ? id : nil
        to = view["to"]?.asString
        self.report = report
        isQuorumCheck = view["checkEmpty"]?.asBool ?? false
    }

    init(
        setName: String, from: String, fromID: MemberID?, to: String? = nil, report: MemberReport,
        isQuorumCheck: Bool = false
    ) {
        self.to = to
        self.setName = setName
        self.from = from
        self.fromID = fromID
        self.report = report
        self.isQuorumCheck = isQuorumCheck
    }
}

/// The answer to `replSetHeartbeat`.
public struct HeartbeatResponse: Sendable, Equatable {
    public var setName: String
    public var report: MemberReport
    /// The responder's configuration, when it is newer than the sender's.
    public var config: ReplicaSetConfig?

    public func encode(to writer: DocumentWriter) {
        writer.append("set", string: setName)
        report.encode(to: writer)
        if let config { writer.document("config") { config.encode(to: $0, internalFields: true) } }
    }

    public init?(_ view: DocumentView) {
        guard let setName = view["set"]?.asString, let report = MemberReport(view) else { return nil }
        self.setName = setName
        self.report = report
        guard let document = view["config"]?.asDocument else { return }
        do { config = try ReplicaSetConfig(storedDocument: document) } catch { return nil }
    }

    init(setName: String, report: MemberReport, config: ReplicaSetConfig? = nil) {
        self.setName = setName
        self.report = report
        self.config = config
    }
}
