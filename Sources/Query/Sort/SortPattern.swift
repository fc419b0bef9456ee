public import BSON
public import Core

/// A compiled sort: fields with directions, or natural order.
public final class SortPattern {
    /// The fields; empty for natural order.
    public let pattern: KeyPattern
    /// The direction of `$natural`, if that is the sort.
    public let natural: ScanDirection?
    /// The sort as it was written.
    public let source: Document
    private let generator: IndexKeyGenerator
    private let keys = IndexKeys()

    /// Compiles a sort document such as `{a: 1, "b.c": -1}`. An empty document sorts nothing.
    public init(_ document: DocumentView) throws(ServerError) {
        var fields: [KeyPattern.Field] = []
        var natural: ScanDirection?
        for element in document {
            let name = element.key.string
            let kind = try SortPattern.direction(element)
            if name == "$natural" {
                guard document.fieldCount == 1 else {
                    throw ServerError(
                        .badValue, "$natural sort cannot be set to a value other than -1 or 1, nor combined")
                }
                natural = kind == .ascending ? .forward : .backward
                continue
            }
            try SortPattern.checkFieldName(name)
            if fields.contains(where: { $0.path.string == name }) {
                throw ServerError(
                    ErrorCode(rawValue: 7_472_500), "$sort key must not contain duplicate keys (field '\(name)')")
            }
            fields.append(KeyPattern.Field(path: try CompiledPath.checked(name), kind: kind))
        }
        guard fields.count <= Limits.indexFieldsMax else {
            throw ServerError(ErrorCode(rawValue: 13103), "too many compound keys")
        }
        pattern = KeyPattern(fields)
        self.natural = natural
        source = document.document
        generator = IndexKeyGenerator(pattern, isSort: true)
    }

    /// Whether the documents keep the order they come in.
    public var isEmpty: Bool { pattern.fields.isEmpty }

    /// Appends the key of `document`: `memcmp` of two keys is the order of their documents. Of an array, the element
    /// that comes first in the field's direction counts.
    public func appendKey(_ document: DocumentView, to buffer: ByteBuffer) throws(ServerError) {
        guard !isEmpty else { return }
        try generator.generate(document, into: keys)
        buffer.append(keys[0])
    }

    private static func direction(_ element: DocumentView.Element) throws(ServerError) -> KeyPattern.Kind {
        if let document = element.value.asDocument, document.first.map({ $0.key == "$meta" }) ?? false {
            throw try metadata(document)
        }
        guard element.value.type.isNumber else {
            throw ServerError(
                ErrorCode(rawValue: 15974),
                "Illegal key in $sort specification: \(element.key.string): \(ValueText.text(element.value))")
        }
        switch Number(Value(element.value))?.coercedInteger {
        case 1: return .ascending
        case -1: return .descending
        default:
            throw ServerError(
                ErrorCode(rawValue: 15975), "$sort key ordering must be 1 (for ascending) or -1 (for descending)")
        }
    }

    /// A sort by what is known of a document beside its fields: there is nothing to sort by here.
    private static func metadata(_ document: DocumentView) throws(ServerError) -> ServerError {
        guard document.fieldCount == 1, let name = document.first?.value.asString, names.contains(name) else {
            return ServerError(
                ErrorCode(rawValue: 31138), "Illegal $meta sort: \(ValueText.document(document.document))")
        }
        return ServerError(.commandNotSupported, "$meta sorts are not supported")
    }
    private static let names = ["textScore", "randVal", "geoNearDistance", "searchScore", "vectorSearchScore"]

    private static func checkFieldName(_ name: String) throws(ServerError) {
        guard !name.isEmpty else {
            throw ServerError(ErrorCode(rawValue: 40352), "FieldPath cannot be constructed with empty string")
        }
        guard !name.hasSuffix(".") else {
            throw ServerError(ErrorCode(rawValue: 40353), "FieldPath must not end with a '.'.")
        }
        for part in name.split(separator: ".", omittingEmptySubsequences: false) {
            guard !part.isEmpty else {
                throw ServerError(ErrorCode(rawValue: 15998), "FieldPath field names may not be empty strings.")
            }
            guard !part.hasPrefix("$") || ["$id", "$ref", "$db"].contains(part) else {
                throw ServerError(
                    ErrorCode(rawValue: 16410),
                    "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
            }
        }
    }
}
