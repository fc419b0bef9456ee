public import BSON
public import Core

/// `min` and `max` of a `find`: the key of the hinted index to begin with, and the one to end before, in the index's
/// order.
public struct KeyLimits {
    private let least: Document?
    private let greatest: Document?

    /// Nil when neither is given, or both are empty. Throws 51176 for two that name different fields.
    public init?(min: DocumentView?, max: DocumentView?) throws(ServerError) {
        least = min.flatMap { $0.isEmpty ? nil : $0.document }
        greatest = max.flatMap { $0.isEmpty ? nil : $0.document }
        if least == nil, greatest == nil { return nil }
        if let least, let greatest, least.keys != greatest.keys {
            throw ServerError(location: 51176, "min() and max() must have the same field names")
        }
    }

    /// The keys of `index` between the limits, and the documents that they lead to.
    ///
    /// Throws 51174 for an index of other fields, 51175 for limits that leave nothing between them.
    func scan(_ index: IndexSpec, _ direction: ScanDirection) throws(ServerError) -> IndexScan {
        let lower = try least.map { (key) throws(ServerError) in try KeyLimits.bytes(key, index) } ?? []
        let upper = try greatest.map { (key) throws(ServerError) in try KeyLimits.bytes(key, index) }
        if let upper, !lower.lexicographicallyPrecedes(upper) {
            throw ServerError(
                location: 51175,
                "The value provided for min() does not come before the value provided for max() in the hinted index")
        }
        return IndexScan(index: index, range: KeyRange(lower: lower, upper: upper), direction: direction)
    }

    private static func bytes(_ key: Document, _ index: IndexSpec) throws(ServerError) -> [UInt8] {
        guard key.keys == index.pattern.fields.map(\.path.string) else {
            throw ServerError(location: 51174, "The index chosen is not compatible with min/max")
        }
        let buffer = ByteBuffer(capacity: 64)
        key.withView { view in
            for (element, field) in zip(view, index.pattern.fields) {
                if field.kind == .hashed {
                    IndexKeyGenerator.appendHash(element.value, index.hash, to: buffer)
                } else {
                    IndexKey.append(element.value, descending: field.kind == .descending, to: buffer)
                }
            }
        }
        return buffer.toArray()
    }
}
