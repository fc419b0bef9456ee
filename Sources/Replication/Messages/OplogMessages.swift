public import BSON
public import Core

/// `replSetFetchOplog`: what follows `after` in the oplog of the sync source.
public struct FetchOplogRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = FetchOplogReply

    public enum Purpose: Sendable, Equatable {
        /// A member that follows, in that term.
        case following(term: Int64)
        /// A member that is being cloned: what it has not fetched yet is kept for it. `isInclusive`: it wants the entry
        /// at `after`, too.
        case initialSync(isInclusive: Bool)
    }

    public var purpose: Purpose
    /// The last entry that the asker has.
    public var after: OpTime
    /// The source answers also when its commit point is beyond this.
    public var knownCommitPoint: OpTime
    /// How long the source may wait for something new.
    public var awaitMillis: Int64

    public init(_ purpose: Purpose, after: OpTime, knownCommitPoint: OpTime, awaitMillis: Int64) {
        self.purpose = purpose
        self.after = after
        self.knownCommitPoint = knownCommitPoint
        self.awaitMillis = awaitMillis
    }

    public var isInclusive: Bool { purpose == .initialSync(isInclusive: true) }

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetFetchOplog", int32: 1)
        if case .following(let term) = purpose { writer.append("term", int64: term) }
        writer.append("after", after)
        if case .initialSync(let isInclusive) = purpose { writer.append("inclusive", bool: isInclusive) }
        writer.append("lastKnownCommitted", knownCommitPoint)
        writer.append("maxAwaitMillis", int64: awaitMillis)
        if case .initialSync = purpose { writer.append("initialSync", bool: true) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetFetchOplog")
        if try fields.optional("initialSync", fields.bool) == true {
            purpose = .initialSync(isInclusive: try fields.bool("inclusive"))
        } else {
            // A term that is not given is older than all.
            purpose = .following(term: try fields.optional("term", fields.int64) ?? -1)
        }
        after = try fields.optime("after")
        knownCommitPoint = try fields.optime("lastKnownCommitted")
        awaitMillis = try fields.count("maxAwaitMillis")
    }
}

/// How a sync source answers a request for its oplog.
public enum OplogAnswer: String, Sendable, CaseIterable {
    /// There are entries that follow.
    case entries
    /// Only the metadata are new.
    case nothingNew
    /// The asker's last entry is newer than the source's.
    case behind
    /// The asker's last entry has fallen off the source's oplog.
    case stale
    /// The asker's last entry is not in the source's history: it must not be kept.
    case diverged
}

/// The answer to `replSetFetchOplog`.
public struct FetchOplogReply: MemberReply {
    public var answer: OplogAnswer
    /// What follows, as one compressed and checksummed frame; with `.entries` only. In place as long as the message
    /// is.
    public var frame: UnsafeRawBufferPointer?
    public var metadata: ReplicationMetadata

    public init(_ answer: OplogAnswer, frame: UnsafeRawBufferPointer? = nil, _ metadata: ReplicationMetadata) {
        self.answer = answer
        self.frame = frame
        self.metadata = metadata
    }

    public func encode(to writer: DocumentWriter) {
        if let frame { writer.append("frame", binary: frame) }
        writer.append("outcome", string: answer.rawValue)
        writer.document("$replData") { metadata.encode(to: $0) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetFetchOplog's answer")
        metadata = try fields.metadata()
        answer = try fields.read("outcome", "a known outcome") { $0.asString.flatMap(OplogAnswer.init(rawValue:)) }
        frame = answer == .entries ? try fields.bytes("frame") : nil
    }
}
