public import BSON
public import Core

/// `replSetListCollections`: what there is to clone.
public struct ListCollectionsRequest: MemberRequest, Sendable, Equatable {
    public typealias Reply = ListCollectionsReply
    public init() {}
    public func encode(to writer: DocumentWriter) { writer.append("replSetListCollections", int32: 1) }
    public init(decoding view: DocumentView) throws(ServerError) {}
}

/// The answer to `replSetListCollections`.
public struct ListCollectionsReply: MemberReply, Sendable, Equatable {
    /// All collections but those of the database `local`.
    public var collections: [CollectionDescription]

    public init(collections: [CollectionDescription]) { self.collections = collections }

    public func encode(to writer: DocumentWriter) {
        writer.array("collections") { array in
            for collection in collections { array.document { collection.encode(to: $0) } }
        }
    }

    public init(decoding view: DocumentView) throws(ServerError) {
        let fields = MessageFields(view, "replSetListCollections's answer")
        collections = try fields.list("collections", limit: .max) { fields throws(ServerError) in
            try CollectionDescription(fields)
        }
    }
}

/// A collection as its clone is made: empty, with all its indexes.
public struct CollectionDescription: Sendable, Equatable {
    /// `database.collection`.
    public var namespace: String
    public var uuid: CollectionUUID
    /// How many documents it holds by now, and how large they are together.
    public var documentCount: Int64
    public var byteCount: Int64
    /// As `create` takes them.
    public var options: Document
    /// As `createIndexes` takes them, each with `buildUUID` while it is being built.
    public var indexes: [Document]

    public init(
        namespace: String, uuid: CollectionUUID, documentCount: Int64, byteCount: Int64, options: Document,
        indexes: [Document]
    ) {
        self.namespace = namespace
        self.uuid = uuid
        self.documentCount = documentCount
        self.byteCount = byteCount
        self.options = options
        self.indexes = indexes
    }

    func encode(to writer: DocumentWriter) {
        writer.append("ns", string: namespace)
        writer.append("uuid", uuid)
        writer.append("documents", int64: documentCount)
        writer.append("bytes", int64: byteCount)
        writer.append("options", options)
        writer.array("indexes") { array in for index in indexes { array.append(index) } }
    }

    init(_ fields: MessageFields) throws(ServerError) {
        namespace = try fields.string("ns")
        uuid = try fields.uuid("uuid")
        documentCount = try fields.count("documents")
        byteCount = try fields.count("bytes")
        options = try fields.document("options").document
        indexes = try fields.list("indexes", limit: .max) { $0.view.document }
    }
}

extension MessageFields {
    func uuid(_ field: StaticString) throws(ServerError) -> CollectionUUID {
        try read(field, "a UUID") { CollectionUUID($0) }
    }
}
