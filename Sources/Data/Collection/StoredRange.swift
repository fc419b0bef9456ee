public import BSON
public import Core
import Query

/// How much the documents take whose keys, of a pattern, lie in a range; counted in slices.
public final class StoredRange {
    public private(set) var bytes = 0
    public private(set) var count = 0

    private let generator: IndexKeyGenerator
    private let first: [UInt8]?
    private let end: [UInt8]?
    private var walk: RowWalk
    private let keys = IndexKeys()

    /// `min` is in the range and `max` is not; nil for no bound. Without a pattern, the names in `min` are one.
    public init(_ collection: Collection, keyPattern: DocumentView?, min: DocumentView?, max: DocumentView?) throws {
        guard let named = keyPattern ?? min ?? max else {
            throw ServerError(.badValue, "dataSize needs min and max together, and a key pattern")
        }
        guard min != nil, max != nil else {
            throw ServerError(.badValue, "only one of min or max specified")
        }
        let pattern = Document { writer in
            for element in named { writer.append(element.key, keyPattern == nil ? .int32(1) : Value(element.value)) }
        }
        let definition: Document = ["key": .document(pattern), "name": "range"]
        let spec = try definition.withView { view throws(ServerError) in try CollectionIndex.spec(view) }
        let generator = IndexKeyGenerator(spec)
        self.generator = generator
        func key(_ bound: DocumentView?) throws(ServerError) -> [UInt8]? {
            guard let bound else { return nil }
            let keys = IndexKeys()
            try generator.generate(bound, into: keys)
            return keys.count > 0 ? [UInt8](keys[0]) : nil
        }
        first = try key(min)
        end = try key(max)
        walk = RowWalk(collection.table)
    }

    public func run(_ store: DataStore, until deadline: Instant) throws -> WriteProgress {
        try walk.run(store.versions, until: { store.runtime.now >= deadline }) { _, value in
            let document = try storedDocument(value)
            try generator.generate(document, into: keys)
            let isInside = (0..<keys.count).contains { index in
                let key = keys[index]
                if let first, key.lexicographicallyPrecedes(first) { return false }
                if let end, !key.lexicographicallyPrecedes(end) { return false }
                return true
            }
            guard isInside else { return }
            bytes += document.byteCount
            count += 1
        }
    }
}
