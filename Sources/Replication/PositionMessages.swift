public import BSON
public import Core

/// `replSetUpdatePosition`: how far the sender, and the members that sync through it, have come.
public struct UpdatePosition: Sendable, Equatable {
    public var setName: String
    public var term: Int64
    public var positions: [Position]

    /// One member's progress as its downstream saw it.
    public struct Position: Sendable, Equatable {
        public var memberID: MemberID
        public var incarnation: Incarnation
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
                    document.append("cfgver", int64: position.config.version)
                    document.append("cfgterm", int64: position.config.term)
                    position.progress.encode(to: document)
                }
            }
        }
    }

    public init?(_ view: DocumentView) {
        guard let setName = view["setName"]?.asString, let term = view["term"]?.asInteger,
            let list = view["optimes"]?.asArray
        else { return nil }
        self.init(setName: setName, term: term, positions: [])
        for element in list {
            guard positions.count < Limits.membersMax,
                let document = element.value.asDocument,
                let id = document["memberId"]?.asInteger.flatMap({ MemberID(exactly: $0) }),
                let incarnation = document["incarnation"]?.asDocument.flatMap({ Incarnation($0) }),
                let version = document["cfgver"]?.asInteger,
                let configTerm = document["cfgterm"]?.asInteger,
                let progress = Progress(document)
            else { return nil }
            positions.append(
                Position(
                    memberID: id, incarnation: incarnation,
                    config: ConfigVersion(version: version, term: configTerm), progress: progress))
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

    public init?(_ view: DocumentView) {
        guard let term = view["term"]?.asInteger,
            let commitPoint = view["lastOpCommitted"]?.asDocument.flatMap({ OpTime($0) }),
            let applied = view["lastOpVisible"]?.asDocument.flatMap({ OpTime($0) }),
            let version = view["configVersion"]?.asInteger,
            let configTerm = view["configTerm"]?.asInteger,
            let rollbackID = view["rbid"]?.asInteger.flatMap({ Int32(exactly: $0) })
        else { return nil }
        func member(_ value: ValueView?) -> MemberID? {
            guard let id = value?.asInteger.flatMap({ MemberID(exactly: $0) }), id >= 0 else { return nil }
            return id
        }
        self.init(
            term: term, commitPoint: commitPoint, applied: applied,
            config: ConfigVersion(version: version, term: configTerm), primaryID: member(view["primaryIndex"]),
            syncSourceID: member(view["syncSourceIndex"]), isPrimary: view["isPrimary"]?.asBool ?? false,
            rollbackID: rollbackID)
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
