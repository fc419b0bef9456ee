public import BSON
public import Core

/// `replSetGetPosition`: how far the source of an initial sync is, and whether it is still the same.
public struct SourcePositionRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = SourcePositionReply

    /// The answer is held back, within limits, until this is committed.
    public var awaitedCommitPoint: OpTime?

    public init(awaitedCommitPoint: OpTime? = nil) { self.awaitedCommitPoint = awaitedCommitPoint }

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetGetPosition", int32: 1)
        if let awaitedCommitPoint { writer.append("awaitCommitted", awaitedCommitPoint) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetGetPosition")
        awaitedCommitPoint = try fields.optional("awaitCommitted", fields.optime)
    }
}

/// The answer to `replSetGetPosition`.
public struct SourcePositionReply: MemberReply, Sendable, Equatable {
    public var incarnation: Incarnation
    public var metadata: ReplicationMetadata

    public init(incarnation: Incarnation, metadata: ReplicationMetadata) {
        self.incarnation = incarnation
        self.metadata = metadata
    }

    public func encode(to writer: DocumentWriter) {
        writer.document("incarnation") { incarnation.encode(to: $0) }
        writer.document("$replData") { metadata.encode(to: $0) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetGetPosition's answer")
        incarnation = try fields.incarnation("incarnation")
        metadata = try fields.metadata()
    }
}
