public import BSON
public import Core

/// `replSetFindCommonPoint`: which of these entries the sync source has. Asked by a member that must roll back.
public struct CommonPointRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = CommonPointReply

    /// Entries of the asker, newest first; at most `Limits.rollbackOptimesPerRequest`.
    public var optimes: [OpTime]

    public init(optimes: [OpTime]) { self.optimes = optimes }

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetFindCommonPoint", int32: 1)
        writer.array("optimes") { array in
            for optime in optimes {
                array.document {
                    $0.append("ts", timestamp: optime.timestamp)
                    $0.append("t", int64: optime.term)
                }
            }
        }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetFindCommonPoint")
        optimes = try fields.list("optimes", limit: Limits.rollbackOptimesPerRequest) { element throws(ServerError) in
            guard let optime = OpTime(element.view) else { throw fields.error("optimes", "must hold optimes {ts, t}") }
            return optime
        }
    }
}

/// The answer to `replSetFindCommonPoint`.
public struct CommonPointReply: MemberReply, Sendable, Equatable {
    /// The oldest entry of the source's oplog; nil when it is empty.
    public var first: OpTime?
    /// The newest of the entries asked about that the source has; nil when it has none.
    public var common: OpTime?

    public init(first: OpTime?, common: OpTime?) {
        self.first = first
        self.common = common
    }

    public func encode(to writer: DocumentWriter) {
        if let first { writer.append("first", first) }
        if let common { writer.append("common", common) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetFindCommonPoint's answer")
        first = try fields.optional("first", fields.optime)
        common = try fields.optional("common", fields.optime)
    }
}
