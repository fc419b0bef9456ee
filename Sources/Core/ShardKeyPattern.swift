public import BSON

/// The fields that make up a shard key, as `shardCollection` names them: `{a: 1}`, `{a: 1, "b.c": 1}`,
/// `{a: "hashed"}`, `{a: 1, b: "hashed"}`.
public struct ShardKeyPattern: Sendable, Hashable {
    /// One field of the key.
    public struct Field: Sendable, Hashable {
        /// Its path, with dots.
        public let path: String
        /// The names of the path, as UTF-8.
        let names: [[UInt8]]
        /// Whether it was given as `"hashed"`.
        public let isHashed: Bool
    }

    /// The pattern as it was given.
    public let document: Document
    /// Its fields, in order.
    public let fields: [Field]

    /// Checks a pattern by MongoDB's rules: 1 or `"hashed"`, at most one field hashed.
    /// - Throws: `BadValue` that names the field.
    public init(_ document: Document) throws(ServerError) {
        self.document = document
        var fields: [Field] = []
        for (path, value) in document.fields {
            let names = path.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            guard !names.contains(where: \.isEmpty) else {
                throw ServerError(.badValue, "A field of a shard key must have a name: '\(path)' has an empty one")
            }
            guard !names.contains(where: { $0.first == UInt8(ascii: "$") }) else {
                throw ServerError(.badValue, "A field of a shard key must not begin with '$': '\(path)'")
            }
            guard names.count <= Limits.indexPathPartsMax else {
                throw ServerError(
                    .badValue, "A field of a shard key has more than \(Limits.indexPathPartsMax) names: '\(path)'")
            }
            guard !fields.contains(where: { $0.path == path }) else {
                throw ServerError(.badValue, "The shard key names the field '\(path)' twice")
            }
            let isHashed = value == .string("hashed")
            guard isHashed || value.asNumber == 1 else {
                throw ServerError(.badValue, "The field '\(path)' of a shard key can only be 1 or 'hashed'")
            }
            fields.append(Field(path: path, names: names.map { [UInt8]($0) }, isHashed: isHashed))
        }
        guard !fields.isEmpty else { throw ServerError(.badValue, "A shard key must have at least one field") }
        guard fields.count <= Limits.indexFieldsMax else {
            throw ServerError(.badValue, "A shard key must not have more than \(Limits.indexFieldsMax) fields")
        }
        guard fields.filter(\.isHashed).count <= 1 else {
            throw ServerError(.badValue, "At most one field of a shard key can be 'hashed'")
        }
        self.fields = fields
    }

    /// The place of the field that is hashed, if there is one.
    public var hashedField: Int? { fields.firstIndex(where: \.isHashed) }

    /// A field's value in a document; nil when it is missing, which counts as null.
    /// - Throws: `ShardKeyNotFound` when there is an array on the way to it, at it or in it.
    func value(_ field: Int, in document: DocumentView) throws(ServerError) -> ValueView? {
        var value = ValueView(type: .document, pointer: document.base, byteCount: document.byteCount)
        for name in fields[field].names {
            if value.type == .array { throw arrayError(field) }
            guard let nested = value.asDocument,
                let found = name.withUnsafeBytes({ nested.find(KeyView($0)) })
            else { return nil }
            value = found
        }
        if value.type == .array || value.asDocument.map(ShardKeyPattern.holdsArray) == true { throw arrayError(field) }
        return value
    }

    private static func holdsArray(_ document: DocumentView) -> Bool {
        document.contains { $0.value.type == .array || $0.value.asDocument.map(holdsArray) == true }
    }

    private func arrayError(_ field: Int) -> ServerError {
        ServerError(
            .shardKeyNotFound,
            "Shard key cannot contain array values or array descendants. The field is '\(fields[field].path)'")
    }
}
