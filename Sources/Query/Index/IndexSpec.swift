public import BSON
public import Core

/// One index as the planner and the key generator see it.
public struct IndexSpec {
    public let name: String
    public let pattern: KeyPattern
    public let isUnique: Bool
    /// Whether writes that would repeat a key are refused, before the index may become unique.
    public let isPreparedUnique: Bool
    public let isSparse: Bool
    public let isHidden: Bool
    /// Age in seconds at which documents expire, of a TTL index.
    public let expireAfterSeconds: Int64?
    /// What documents must match to be in the index.
    public let partialFilter: Filter?
    /// The index as `listIndexes` prints it.
    public let definition: Document
    /// For each field, a bit for each name of its path that leads to an array in some document. Grows with the data.
    public var multikeyPaths: [UInt64]
    /// The hash of a hashed field's value.
    public var hash: ((ValueView) -> Int64)?

    /// Whether some document has more than one key, or might have.
    public var isMultikey: Bool { multikeyPaths.contains { $0 != 0 } }
    /// The index that every collection has.
    public var isIdIndex: Bool { name == "_id_" }
    /// The key pattern with directions as they were given.
    public var keyPattern: Document { definition["key"]?.asDocument ?? pattern.document }

    /// Adds what the keys of a document told about arrays.
    public mutating func merge(multikeyPaths other: [UInt64]) {
        for field in 0..<min(multikeyPaths.count, other.count) { multikeyPaths[field] |= other[field] }
    }

    /// Checks an index specification of `createIndexes` and compiles it.
    ///
    /// Throws MongoDB's codes: 67 for a key pattern that cannot be indexed, 197 for an unknown option, 9 for a missing
    /// name or key, 14 for an option of the wrong type.
    public init(
        validating specification: DocumentView, context: QueryContext = QueryContext(),
        hash: ((ValueView) -> Int64)? = nil
    ) throws(ServerError) {
        let checked = try IndexSpecValidator(specification, context: context)
        name = checked.name
        pattern = checked.pattern
        isUnique = checked.isUnique
        isPreparedUnique = checked.isPreparedUnique
        isSparse = checked.isSparse
        isHidden = checked.isHidden
        expireAfterSeconds = checked.expireAfterSeconds
        partialFilter = checked.partialFilter
        definition = checked.definition
        multikeyPaths = [UInt64](repeating: 0, count: checked.pattern.fields.count)
        self.hash = hash
    }

    /// A specification without the fields that nobody knows: for `ignoreUnknownIndexOptions`.
    public static func withoutUnknownOptions(_ specification: DocumentView) -> Document {
        Document { writer in
            for element in specification where IndexSpecValidator.known.contains(element.key.string) {
                writer.append(element.key, element.value)
            }
        }
    }

    /// MongoDB's name for an index without one: `a_1_b_-1`.
    public static func defaultName(_ key: DocumentView) -> String {
        key.map { element in
            let direction = element.value.asString ?? ValueText.text(element.value).replacingDoubleZero
            return element.key.string + "_" + direction
        }.joined(separator: "_")
    }
}

extension String {
    /// `1.0` as `1`, as drivers name indexes.
    fileprivate var replacingDoubleZero: String { hasSuffix(".0") ? String(dropLast(2)) : self }
}

/// Checks an index specification of `createIndexes`.
public func validateIndexSpec(_ specification: DocumentView) throws(ServerError) {
    _ = try IndexSpec(validating: specification)
}
