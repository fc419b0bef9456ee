import BSON
import Core

/// Typed reading of a message: every complaint is `FailedToParse` and names the field.
struct MessageFields {
    let view: DocumentView
    private let message: StaticString
    /// The list in which this document stands.
    private let list: StaticString?

    init(_ view: DocumentView, _ message: StaticString, inside list: StaticString? = nil) {
        self.view = view
        self.message = message
        self.list = list
    }

    func error(_ field: StaticString, _ what: String) -> ServerError {
        ServerError(.failedToParse, "\(message)\(list.map { ".\($0)" } ?? "").\(field) \(what)")
    }

    func read<T>(
        _ field: StaticString, _ expected: StaticString, _ convert: (ValueView) -> T?
    ) throws(ServerError) -> T {
        guard let value = view[field] else { throw error(field, "is missing") }
        guard let read = convert(value) else { throw error(field, "must be \(expected)") }
        return read
    }

    /// nil when the field is not there.
    func optional<T>(
        _ field: StaticString, _ read: (StaticString) throws(ServerError) -> T
    ) throws(ServerError) -> T? {
        view[field] == nil ? nil : try read(field)
    }

    func string(_ field: StaticString) throws(ServerError) -> String { try read(field, "a string", \.asString) }
    func bool(_ field: StaticString) throws(ServerError) -> Bool { try read(field, "a boolean", \.asBool) }
    func date(_ field: StaticString) throws(ServerError) -> WallTime {
        WallTime(milliseconds: try read(field, "a date", \.asDateTime))
    }
    func timestamp(_ field: StaticString) throws(ServerError) -> Timestamp {
        try read(field, "a timestamp", \.asTimestamp)
    }
    func objectID(_ field: StaticString) throws(ServerError) -> ObjectID {
        try read(field, "an ObjectId", \.asObjectID)
    }
    func document(_ field: StaticString) throws(ServerError) -> DocumentView {
        try read(field, "a document", \.asDocument)
    }
    func bytes(_ field: StaticString) throws(ServerError) -> UnsafeRawBufferPointer {
        try read(field, "binary data") { $0.asBinary?.bytes }
    }

    /// A number of any type without a fraction.
    func int64(_ field: StaticString) throws(ServerError) -> Int64 { try read(field, "an integer", \.asInteger) }
    func int32(_ field: StaticString) throws(ServerError) -> Int32 {
        try read(field, "an integer of 32 bits") { $0.asInteger.flatMap { Int32(exactly: $0) } }
    }
    /// An integer that is not negative.
    func count(_ field: StaticString) throws(ServerError) -> Int64 {
        try read(field, "an integer that is not negative") { $0.asInteger.flatMap { $0 >= 0 ? $0 : nil } }
    }
    /// 64 bits that mean no number.
    func bits(_ field: StaticString) throws(ServerError) -> UInt64 {
        UInt64(bitPattern: try read(field, "a long", \.asInt64))
    }
    /// The member's id; nil for a negative one, which stands for nobody.
    func memberID(_ field: StaticString) throws(ServerError) -> MemberID? {
        let id = try int32(field)
        return id >= 0 ? id : nil
    }

    func optime(_ field: StaticString) throws(ServerError) -> OpTime {
        try read(field, "an optime {ts, t}") { $0.asDocument.flatMap { OpTime($0) } }
    }
    func incarnation(_ field: StaticString) throws(ServerError) -> Incarnation {
        try read(field, "an incarnation {startedAt, nonce}") { $0.asDocument.flatMap { Incarnation($0) } }
    }
    func metadata() throws(ServerError) -> ReplicationMetadata {
        try ReplicationMetadata(decoding: document("$replData"))
    }

    /// An array whose elements are documents. The array itself is what is returned: nothing is copied.
    func documents(_ field: StaticString) throws(ServerError) -> DocumentView {
        let array = try read(field, "an array", \.asArray)
        for element in array where element.value.asDocument == nil {
            throw error(field, "must be an array of documents")
        }
        return array
    }

    /// Decodes each element of an array of at most `limit` documents.
    func list<T>(
        _ field: StaticString, limit: Int, _ decode: (MessageFields) throws(ServerError) -> T
    ) throws(ServerError) -> [T] {
        var list: [T] = []
        for element in try documents(field) {
            guard list.count < limit else { throw error(field, "has more than \(limit) elements") }
            guard let document = element.value.asDocument else { continue }
            list.append(try decode(MessageFields(document, message, inside: field)))
        }
        return list
    }
}
