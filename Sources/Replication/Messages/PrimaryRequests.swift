public import BSON
public import Core

/// `replSetStepUp`, which people send, too: the receiver stands for election at once.
public struct StepUpRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = EmptyReply

    /// A new term begins without asking first who would vote.
    public var skipsDryRun: Bool

    public init(skipsDryRun: Bool) { self.skipsDryRun = skipsDryRun }

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetStepUp", int32: 1)
        writer.append("skipDryRun", bool: skipsDryRun)
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetStepUp")
        skipsDryRun = try fields.optional("skipDryRun", fields.flag) ?? false
    }
}

/// `appendOplogNote`, which people send, too: the primary writes a no-op. Members ask for one when somebody waits for a
/// cluster time beyond their last entry.
public struct OplogNoteRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = EmptyReply

    public var note: Document
    /// Nothing is written when the last entry is as new.
    public var target: Timestamp?
    /// The asker's cluster time: the primary may not have heard of the time that is waited for.
    public var clusterTime: Timestamp?

    public init(note: Document, target: Timestamp?, clusterTime: Timestamp?) {
        self.note = note
        self.target = target
        self.clusterTime = clusterTime
    }

    public func encode(to writer: DocumentWriter) {
        writer.append("appendOplogNote", int32: 1)
        writer.append("data", note)
        if let target { writer.append("maxClusterTime", timestamp: target) }
        writer.document("writeConcern") { $0.append("w", int32: 1) }
        guard let clusterTime else { return }
        writer.document("$clusterTime") { $0.append("clusterTime", timestamp: clusterTime) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "appendOplogNote")
        note = try fields.document("data").document
        target = try fields.optional("maxClusterTime", fields.timestamp)
        let gossip = try fields.optional("$clusterTime", fields.document)
        clusterTime = try gossip.map { gossip throws(ServerError) in
            try MessageFields(gossip, "$clusterTime").timestamp("clusterTime")
        }
    }
}

extension MessageFields {
    /// A boolean, or a number that stands for one.
    func flag(_ field: StaticString) throws(ServerError) -> Bool {
        try read(field, "a boolean or a number") { $0.type == .bool || $0.asNumber != nil ? $0.isTruthy : nil }
    }
}
