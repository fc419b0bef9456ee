public import BSON
public import Core

/// A range of a zone: a document of `config.tags`.
///
///     {_id: {ns, min}, ns, min, max, tag}
public struct ZoneEntry: CatalogDocument {
    public static let collection = "tags"
    /// The collection's name.
    public let name: Namespace
    /// The first key in it.
    public let min: Document
    /// The first key behind it.
    public let max: Document
    /// The zone.
    public let zone: String

    /// A range of a zone.
    public init(_ name: Namespace, min: Document, max: Document, zone: String) {
        self.name = name
        self.min = min
        self.max = max
        self.zone = zone
    }

    /// The range with its bounds encoded.
    /// - Throws: `BadValue` when the bounds are none of the key.
    public func range(in space: ShardKeySpace) throws(ServerError) -> ZoneRange {
        let upper = try space.bound(extending: max)
        let range = KeyRange(
            lower: try space.bound(extending: min).key, upper: upper.document == space.highest ? nil : upper.key)
        return ZoneRange(range, zone: zone)
    }

    public var document: Document {
        Document { writer in
            writer.document("_id") { id in
                id.append("ns", string: name.fullName)
                id.append("min", min)
            }
            writer.append("ns", string: name.fullName)
            writer.append("min", min)
            writer.append("max", max)
            writer.append("tag", string: zone)
        }
    }

    public init(_ view: DocumentView) throws(ServerError) {
        guard let full = view.string("ns"), let name = Namespace(fullName: full) else { throw Self.malformed("ns") }
        guard let min = view["min"]?.asDocument?.document else { throw Self.malformed("min") }
        guard let max = view["max"]?.asDocument?.document else { throw Self.malformed("max") }
        guard let zone = view.string("tag") else { throw Self.malformed("tag") }
        self.init(name, min: min, max: max, zone: zone)
    }
}
