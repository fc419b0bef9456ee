public import BSON
public import Core
public import Query

/// One incarnation of an index on this member. Changed in place only in its state; a `collMod` makes a new object.
public final class CollectionIndex {
    public enum State: Int32, Sendable {
        /// Complete: queries may use it.
        case ready
        /// Hidden: a build scans the collection, and writes to what it has scanned maintain it.
        case building
        /// Hidden and empty: initial sync builds it from the final data.
        case deferred
    }

    public let table: TableID
    public internal(set) var state: State
    /// The time from which on it is complete: a read at an earlier time does not use it.
    public internal(set) var visibleFrom: Timestamp
    /// The build that fills it.
    public internal(set) var buildID: CollectionUUID?
    /// Record ids up to this one have been scanned by the build: writes to them maintain the index.
    var scannedThrough: UInt64 = 0

    /// Operations that have used it since this member loaded it: `$indexStats`.
    public internal(set) var accesses: Int64 = 0
    /// What the planner knows of it, with the paths that arrays make multikey.
    public internal(set) var spec: IndexSpec
    let generator: IndexKeyGenerator

    /// The definition of the index on `_id`.
    static let idDefinition: Document = ["v": 2, "key": ["_id": 1], "name": "_id_"]

    /// - Parameter keepsRecordInKey: how its table is laid out; nil for what the definition asks for.
    init(
        _ spec: IndexSpec, table: TableID, state: State, visibleFrom: Timestamp, buildID: CollectionUUID? = nil,
        keepsRecordInKey: Bool? = nil
    ) {
        self.spec = spec
        self.table = table
        self.state = state
        self.visibleFrom = visibleFrom
        self.buildID = buildID
        generator = IndexKeyGenerator(spec)
        self.keepsRecordInKey = keepsRecordInKey ?? !(spec.isUnique || spec.isIdIndex)
    }

    /// Compiles a definition.
    static func spec(_ definition: DocumentView) throws(ServerError) -> IndexSpec {
        try IndexSpec(validating: definition, hash: { HashedKey.hash($0) })
    }

    public var name: String { spec.name }
    public var keyPattern: Document { spec.keyPattern }
    /// The specification as `listIndexes` shows it.
    public var definition: Document { spec.definition }
    var isIDIndex: Bool { spec.isIdIndex }
    /// Whether a key of its table is the index key with the record id behind it, and the value empty. In a table that
    /// was made for a unique index the key is the index key alone, and the record id its value. An index that became
    /// unique later keeps its table.
    public let keepsRecordInKey: Bool
    /// Whether writes that would give two documents one key are refused.
    @inline(__always) public var refusesDuplicates: Bool { !keepsRecordInKey || spec.isUnique || spec.isPreparedUnique }

    /// The record that an entry of its table leads to.
    /// - Throws: `InvariantViolation` when it leads to none.
    func record(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(InvariantViolation) -> RecordKey {
        let id = keepsRecordInKey ? UnsafeRawBufferPointer(rebasing: key.suffix(RecordKey.byteCount)) : value
        guard let base = id.baseAddress, id.count == RecordKey.byteCount else {
            throw InvariantViolation("an entry of the index \(name) holds no record id")
        }
        return RecordKey(loadingFrom: base)
    }

    /// The multikey paths with more of them; nil when they are all known.
    @inline(__always)
    func widened(by paths: [UInt64]) -> [UInt64]? {
        var widened = spec
        widened.merge(multikeyPaths: paths)
        return widened.multikeyPaths == spec.multikeyPaths ? nil : widened.multikeyPaths
    }

    /// Whether a write to a record maintains the index: not while a build has yet to come to the record.
    @inline(__always)
    func isMaintained(for record: RecordKey) -> Bool {
        switch state {
        case .ready: true
        case .building: record.id <= scannedThrough
        case .deferred: false
        }
    }

    /// The same index with changed options.
    func redefined(_ definition: Document) throws -> CollectionIndex {
        var spec = try definition.withView { view throws(ServerError) in try CollectionIndex.spec(view) }
        spec.multikeyPaths = self.spec.multikeyPaths
        let index = CollectionIndex(
            spec, table: table, state: state, visibleFrom: visibleFrom, buildID: buildID,
            keepsRecordInKey: keepsRecordInKey)
        index.scannedThrough = scannedThrough
        return index
    }
}

extension Collection {
    /// A read has found a document by its `_id`.
    @inline(__always)
    public func noteIDLookup() { idIndex.accesses &+= 1 }
}
