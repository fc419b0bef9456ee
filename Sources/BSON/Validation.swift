internal import CBSON

/// Why bytes are not a BSON document: the rule and the offset of the byte that breaks it.
public struct InvalidBSON: Error, CustomStringConvertible {
    public let reason: String
    /// Offset from the start of the document.
    public let offset: Int
    public var description: String { "\(reason) at byte \(offset)" }
}

extension DocumentView {
    /// The deepest nesting of documents that is accepted, as MongoDB's.
    public static let depthMax = 100
    /// The same for what members tell each other: a document of a client may be some levels deep in an oplog entry, its
    /// delta, or a reply.
    public static let wrappedDepthMax = 120

    /// Checks `bytes` from their first byte and returns the document they start with. Everything later may trust it.
    ///
    /// Rejects what MongoDB rejects: lengths that do not add up, missing terminators, unknown types, names and strings
    /// that are not UTF-8, nesting beyond `depth`. Reads no byte outside `bytes`.
    public static func validate(
        _ bytes: UnsafeRawBufferPointer, depth: Int = depthMax
    ) throws(InvalidBSON) -> DocumentView {
        guard let base = bytes.baseAddress else { throw InvalidBSON(reason: "no bytes", offset: 0) }
        var offset = 0
        let status = cbson_validate(base, bytes.count, Int32(clamping: depth), &offset)
        guard status == 0 else {
            throw InvalidBSON(reason: String(cString: cbson_status_text(status)), offset: offset)
        }
        return DocumentView(base: base)
    }
}

extension Document {
    /// Checks bytes from outside and takes them.
    public init(validating bytes: [UInt8]) throws(InvalidBSON) {
        let checked = bytes.withUnsafeBytes { raw in
            Result { () throws(InvalidBSON) in try DocumentView.validate(raw).byteCount }
        }
        let length = try checked.get()
        guard length == bytes.count else {
            throw InvalidBSON(reason: "bytes behind the document's end", offset: length)
        }
        self.init(trusted: bytes)
    }
}
