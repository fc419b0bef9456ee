public import BSON
public import Core

/// `replSetCloneDocuments`: documents of a collection, in the order of their record ids, or a single one. Every request
/// stands alone: it says behind which record it goes on, so nothing is kept at the source between two of them.
public enum CloneDocumentsRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = CloneDocumentsReply

    /// The next documents behind that record id; 0 is before all.
    case batch(of: CollectionUUID, after: Int64)
    /// The present state of the document with that `_id`.
    case one(namespace: String, id: Value)

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetCloneDocuments", int32: 1)
        switch self {
        case .batch(let uuid, let after):
            writer.append("uuid", uuid)
            writer.append("after", int64: after)
        case .one(let namespace, let id):
            writer.append("ns", string: namespace)
            writer.append("id" as String, id)
        }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetCloneDocuments")
        if let namespace = try fields.optional("ns", fields.string) {
            self = .one(namespace: namespace, id: try fields.read("id", "a value") { Value($0) })
        } else {
            self = .batch(of: try fields.uuid("uuid"), after: try fields.count("after"))
        }
    }
}

/// The answer to `replSetCloneDocuments`.
public enum CloneDocumentsReply: MemberReply {
    /// The collection has been dropped.
    case gone
    /// An array of documents, in place as long as the message is; `next`: behind which record id to go on, if there
    /// may be more.
    case documents(DocumentView, next: Int64?)

    /// Writes an answer with the documents that `fill` appends: each is copied once, from storage into the message.
    /// - Parameter fill: returns the record id behind which to go on, nil when there are no more.
    public static func encode(
        to writer: DocumentWriter, _ fill: (inout ArrayWriter) throws -> Int64?
    ) rethrows {
        var next: Int64?
        try writer.array("documents") { (array: inout ArrayWriter) throws in next = try fill(&array) }
        if let next { writer.append("next", int64: next) }
    }

    public static func encodeGone(to writer: DocumentWriter) { writer.append("gone", bool: true) }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetCloneDocuments's answer")
        if try fields.optional("gone", fields.bool) == true {
            self = .gone
        } else {
            self = .documents(try fields.documents("documents"), next: try fields.optional("next", fields.count))
        }
    }
}

/// `replSetCloneSessions`: records of retryable writes, in the order of their keys.
public struct CloneSessionsRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = CloneSessionsReply

    /// The next records behind this key; an empty one is before all.
    public var after: [UInt8]

    public init(after: [UInt8]) { self.after = after }

    public func encode(to writer: DocumentWriter) {
        writer.append("replSetCloneSessions", int32: 1)
        after.withUnsafeBytes { writer.append("after", binary: $0) }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        after = Array(try MessageFields(view, "replSetCloneSessions").bytes("after"))
    }
}

/// The answer to `replSetCloneSessions`.
public struct CloneSessionsReply: MemberReply {
    /// An array of `{key, record}`, in place as long as the message is.
    public var records: DocumentView
    /// The key behind which to go on, if there may be more.
    public var next: [UInt8]?

    /// Writes an answer with the records that `fill` appends.
    /// - Parameter fill: returns the key behind which to go on, nil when there are no more.
    public static func encode(to writer: DocumentWriter, _ fill: (inout ArrayWriter) throws -> [UInt8]?) rethrows {
        var next: [UInt8]?
        try writer.array("records") { (array: inout ArrayWriter) throws in next = try fill(&array) }
        if let next { next.withUnsafeBytes { writer.append("next", binary: $0) } }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetCloneSessions's answer")
        records = try fields.documents("records")
        next = try fields.optional("next", fields.bytes).map { Array($0) }
    }

    /// A row as it is stored, for the closure that `encode` is given.
    public static func append(key: UnsafeRawBufferPointer, record: DocumentView, to array: inout ArrayWriter) {
        array.document {
            $0.append("key", binary: key)
            $0.append("record", record)
        }
    }

    /// The rows, in place as long as the message is.
    /// - Throws: `FailedToParse` and its kin for one that is none.
    public var rows: [(key: UnsafeRawBufferPointer, record: DocumentView)] {
        get throws(ServerError) {
            var rows: [(key: UnsafeRawBufferPointer, record: DocumentView)] = []
            for element in records {
                guard let view = element.value.asDocument else { continue }
                let fields = MessageFields(view, "replSetCloneSessions's row")
                rows.append((try fields.bytes("key"), try fields.document("record")))
            }
            return rows
        }
    }
}
