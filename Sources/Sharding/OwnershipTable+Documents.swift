public import BSON
public import Core

/// A migration, by a number that is never used again.
public struct MigrationID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number.
    public let uuid: CollectionUUID
    /// The migration of a number.
    public init(_ uuid: CollectionUUID) { self.uuid = uuid }
    public static func < (a: MigrationID, b: MigrationID) -> Bool { a.uuid < b.uuid }
    public var description: String { uuid.description }
}

extension KeyRange {
    /// Writes `min` and `max` as bytes; the end of all keys as null.
    func append(to writer: DocumentWriter) {
        writer.append("min", .binary(subtype: 0, lower))
        writer.append("max", upper.map { .binary(subtype: 0, $0) } ?? .null)
    }

    /// Reads `min` and `max`.
    /// - Throws: `FailedToParse` when they are no bytes, or leave nothing between them.
    init(_ view: DocumentView, lower: ValueView? = nil) throws(ServerError) {
        guard let least = (lower ?? view["min"])?.asBinary, let end = view["max"] else {
            throw ServerError(.failedToParse, "A range of keys needs min and max")
        }
        let upper = end.asBinary.map { [UInt8]($0.bytes) }
        guard upper != nil || end.type == .null else {
            throw ServerError(.failedToParse, "The max of a range of keys must be bytes or null")
        }
        self.init(lower: [UInt8](least.bytes), upper: upper)
        guard !isEmpty else {
            throw ServerError(.failedToParse, "The min of a range of keys must be less than its max")
        }
    }
}

/// How a table is stored: a document for the version, one for each range and each closing, so that a move writes a few
/// documents however many ranges there are.
///
///     {_id: {c: UUID, k: "version"}, version: {t, v}, versions: [{from: Timestamp, major: Int64}, …]}
///     {_id: {c: UUID, k: "range", min: Binary, from: Timestamp}, max: Binary or null, until: Timestamp or null}
///     {_id: {c: UUID, k: "closing", migration: UUID}, min: Binary, max: Binary or null, reads: Bool}
extension OwnershipTable {
    /// The documents, that of the version first.
    public var documents: [Document] {
        [versionDocument] + (current + former).map(document) + closings.map(document)
    }

    /// What has to be written, and what to be deleted by its `_id`, to make one stored table of another.
    public func changes(from old: OwnershipTable) -> (write: [Document], delete: [Value]) {
        let before = Set(old.documents)
        let now = documents
        let ids = Set(now.map { $0["_id"] })
        return (
            now.filter { !before.contains($0) },
            old.documents.compactMap { $0["_id"] }.filter { !ids.contains($0) }
        )
    }

    private func id(_ kind: StaticString, _ more: (DocumentWriter) -> Void = { _ in }) -> Value {
        .document(
            Document { writer in
                writer.append("c", collection)
                writer.append("k", string: kind)
                more(writer)
            })
    }

    private var versionDocument: Document {
        Document { writer in
            writer.append("_id", id("version"))
            writer.append("version", version.document)
            writer.array("versions") { array in
                for (from, major) in versions.sorted(by: { $0.key < $1.key }) {
                    array.document {
                        $0.append("from", timestamp: from)
                        $0.append("major", int64: Int64(major))
                    }
                }
            }
        }
    }

    private func document(_ tenure: Tenure) -> Document {
        Document { writer in
            writer.append(
                "_id",
                id("range") {
                    $0.append("min", .binary(subtype: 0, tenure.range.lower))
                    $0.append("from", timestamp: tenure.from)
                })
            writer.append("max", tenure.range.upper.map { .binary(subtype: 0, $0) } ?? .null)
            writer.append("until", tenure.until.map { .timestamp($0) } ?? .null)
        }
    }

    private func document(_ closing: Closing) -> Document {
        Document { writer in
            writer.append("_id", id("closing") { $0.append("migration", closing.migration.uuid) })
            closing.range.append(to: writer)
            writer.append("reads", bool: closing.closesReads)
        }
    }

    /// Reads the documents of one table, in any order.
    /// - Throws: `FailedToParse` for a document that is none of these, or documents that do not make one table.
    public init(_ documents: [Document]) throws(ServerError) {
        var found: (collection: CollectionUUID, version: PlacementVersion, versions: [Timestamp: UInt32])?
        var tenures: [Tenure] = []
        var closings: [Closing] = []
        var owners = Set<CollectionUUID>()
        for document in documents {
            let part = document.withView { view in
                Result { () throws(ServerError) in try OwnershipTable.part(view) }
            }
            let (collection, read) = try part.get()
            owners.insert(collection)
            switch read {
            case .version(let version, let versions):
                guard found == nil else { throw OwnershipTable.malformed("two versions") }
                found = (collection, version, versions)
            case .tenure(let tenure): tenures.append(tenure)
            case .closing(let closing): closings.append(closing)
            }
        }
        guard let found, owners.count == 1 else { throw OwnershipTable.malformed("no version, or two collections") }
        self.init(found.collection, found.version, owning: [], from: .zero)
        let owned = tenures.filter { $0.until == nil }
            .sorted { $0.range.lower.lexicographicallyPrecedes($1.range.lower) }
        for (one, next) in zip(owned, owned.dropFirst()) where one.range.overlaps(next.range) {
            throw OwnershipTable.malformed("a range that is owned twice, from \(shown(next.range.lower)) on")
        }
        take(owned, tenures.filter { $0.until != nil }, found.versions, closings)
    }

    private enum Part {
        case version(PlacementVersion, [Timestamp: UInt32])
        case tenure(Tenure)
        case closing(Closing)
    }

    private static func malformed(_ what: String) -> ServerError {
        ServerError(.failedToParse, "A stored table of ownership has \(what)")
    }

    private static func part(_ view: DocumentView) throws(ServerError) -> (CollectionUUID, Part) {
        guard let id = view["_id"]?.asDocument, let collection = CollectionUUID(id["c"]), let kind = id["k"]?.asString
        else { throw malformed("a document without collection and kind") }
        switch kind {
        case "version":
            guard let version = view["version"]?.asDocument, let list = view["versions"]?.asArray else {
                throw malformed("a version without its history")
            }
            var versions: [Timestamp: UInt32] = [:]
            for element in list {
                guard let entry = element.value.asDocument, let from = entry["from"]?.asTimestamp,
                    let major = entry["major"]?.asInteger.flatMap({ UInt32(exactly: $0) })
                else { throw malformed("a version without a time") }
                versions[from] = major
            }
            return (collection, .version(try PlacementVersion(version), versions))
        case "range":
            guard let from = id["from"]?.asTimestamp, let end = view["until"] else {
                throw malformed("a range of no time")
            }
            let until = end.asTimestamp
            guard until.map({ from < $0 }) ?? (end.type == .null) else { throw malformed("a range of no time") }
            guard let least = id["min"] else { throw malformed("a range without min") }
            return (collection, .tenure(Tenure(range: try KeyRange(view, lower: least), from: from, until: until)))
        case "closing":
            guard let migration = CollectionUUID(id["migration"]), let reads = view["reads"]?.asBool else {
                throw malformed("a closing without its migration")
            }
            let closing = Closing(
                range: try KeyRange(view), migration: MigrationID(migration), closesReads: reads)
            return (collection, .closing(closing))
        default: throw malformed("a document of the kind '\(kind)'")
        }
    }
}
