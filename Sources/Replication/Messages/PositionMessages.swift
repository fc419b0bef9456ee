public import BSON
public import Core

/// `replSetUpdatePosition`: how far the sender, and the members that sync through it, have come.
public struct UpdatePosition: MemberRequest, Sendable, Equatable {
    public typealias Reply = EmptyReply

    public var setName: String
    public var term: Int64
    public var positions: [Position]

    /// One member's progress as its downstream saw it.
    public struct Position: Sendable, Equatable {
        public var memberID: MemberID
        public var incarnation: Incarnation
        /// Which run of its process it is of (`MemberReport.startCount`).
        public var startCount: Int64 = 1
        public var config: ConfigVersion
        public var progress: Progress
    }

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetUpdatePosition", int32: 1)
        writer.append("setName", string: setName)
        writer.append("term", int64: term)
        writer.array("optimes") { array in
            for position in positions {
                array.document { document in
                    document.append("memberId", int32: position.memberID)
                    document.document("incarnation") { position.incarnation.encode(to: $0) }
                    document.append("startCount", int64: position.startCount)
                    document.append("cfgver", int64: position.config.version)
                    document.append("cfgterm", int64: position.config.term)
                    position.progress.encode(to: document)
                }
            }
        }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetUpdatePosition")
        setName = try fields.string("setName")
        term = try fields.int64("term")
        positions = try fields.list("optimes", limit: Limits.membersMax) { fields throws(ServerError) in
            Position(
                memberID: try fields.int32("memberId"), incarnation: try fields.incarnation("incarnation"),
                startCount: try fields.int64("startCount"),
                config: ConfigVersion(version: try fields.int64("cfgver"), term: try fields.int64("cfgterm")),
                progress: try Progress(fields))
        }
    }

    init(setName: String, term: Int64, positions: [Position]) {
        self.setName = setName
        self.term = term
        self.positions = positions
    }
}

/// `$replData` of every reply to a member: what the one that syncs from us learns with each batch.
public struct ReplicationMetadata: Sendable, Equatable {
    public var term: Int64
    public var commitPoint: OpTime
    public var applied: OpTime
    public var config: ConfigVersion
    public var primaryID: MemberID?
    /// The replier's own sync source.
    public var syncSourceID: MemberID?
    public var isPrimary: Bool
    public var rollbackID: Int32

    public func encode(to writer: DocumentWriter) {
        writer.append("term", int64: term)
        writer.append("lastOpCommitted", commitPoint)
        writer.append("lastOpVisible", applied)
        writer.append("configVersion", int64: config.version)
        writer.append("configTerm", int64: config.term)
        writer.append("primaryIndex", int32: primaryID ?? -1)
        writer.append("syncSourceIndex", int32: syncSourceID ?? -1)
        writer.append("isPrimary", bool: isPrimary)
        writer.append("rbid", int32: rollbackID)
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "$replData")
        term = try fields.int64("term")
        commitPoint = try fields.optime("lastOpCommitted")
        applied = try fields.optime("lastOpVisible")
        config = ConfigVersion(version: try fields.int64("configVersion"), term: try fields.int64("configTerm"))
        primaryID = try fields.memberID("primaryIndex")
        syncSourceID = try fields.memberID("syncSourceIndex")
        isPrimary = try fields.bool("isPrimary")
        rollbackID = try fields.int32("rbid")
    }

    init(
        term: Int64, commitPoint: OpTime, applied: OpTime, config: ConfigVersion, primaryID: MemberID?,
        syncSourceID: MemberID?, isPrimary: Bool, rollbackID: Int32
    ) {
        self.term = term
        self.commitPoint = commitPoint
        self.applied = applied
        self.config = config
        self.primaryID = primaryID
        self.syncSourceID = syncSourceID
        self.isPrimary = isPrimary
        self.rollbackID = rollbackID
    }
}
