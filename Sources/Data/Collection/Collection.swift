public import BSON
public import Core
import Query

#if canImport(Glibc)
    internal import Glibc
#endif

/// One incarnation of a collection on this member: its tables, its indexes and its counters. In memory; made from the
/// catalog.
public final class Collection {
    public let uuid: CollectionUUID
    /// Record id (eight bytes, big-endian, in the order of insertion) → document.
    public let table: TableID
    /// Whether its tables are versioned, logged and undone, or belong to the `local` database.
    public let kind: TableKind
    /// Changed by a rename only.
    public private(set) var namespace: Namespace
    /// The time from which on `namespace` is its name: a read at an earlier time does not see it.
    public internal(set) var namedSince: Timestamp
    /// The names it had before, oldest first, as long as a read in the past may ask for them.
    var formerNames: [FormerName]

    /// A name of a collection, from its time until that of the next.
    struct FormerName: Equatable {
        let namespace: Namespace
        let since: Timestamp
    }
    public internal(set) var options: CollectionOptions {
        didSet { validator = try? DocumentValidator(options.validation) }
    }
    /// What documents have to match; nil when anything is welcome.
    private(set) var validator: DocumentValidator?
    /// Whether a write may take many slices of the loop: it has to be able to come back.
    public var validationMayTakeLong: Bool { validator?.mayTakeLong ?? false }
    /// Whether what an update makes of a document, however long, has to be looked at.
    public var isValidated: Bool { validator != nil }
    /// The `_id` index first, then in the order of creation. Holds the ones that are still built.
    public internal(set) var indexes: [CollectionIndex]

    /// Whether it is one of those in which a shard keeps what it owns.
    let isAboutOwnership: Bool
    /// How it was used since this member loaded it.
    public var usage = CollectionUsage()
    /// Queries that have walked over the whole collection.
    public internal(set) var scanCount: Int64 = 0
    /// The number of documents, and the bytes they take.
    public internal(set) var count = 0
    public internal(set) var dataBytes = 0
    /// The record id of the next insert.
    var nextRecordID: UInt64 = 1
    /// Set by a drop; operations that began before it stop when they see it.
    public internal(set) var isDropped = false
    /// Set when the data of a dropped collection is given back: reads in the past stop too.
    var isReclaimed = false
    /// Changes whenever indexes or options do: plans made for an older one are made again.
    public internal(set) var generation: UInt64 = 0

    /// `database.collection` and a NUL byte, for lookups and entries without a string.
    private var name: UnsafeMutableRawBufferPointer
    private var databaseCount: Int

    init(
        uuid: CollectionUUID, table: TableID, kind: TableKind, namespace: Namespace, namedSince: Timestamp,
        formerNames: [FormerName] = [], options: CollectionOptions, indexes: [CollectionIndex]
    ) {
        self.uuid = uuid
        self.table = table
        self.kind = kind
        self.namespace = namespace
        self.namedSince = namedSince
        self.formerNames = formerNames
        self.options = options
        self.indexes = indexes
        validator = try? DocumentValidator(options.validation)
        isAboutOwnership = namespace.isAboutOwnership
        (name, databaseCount) = Collection.nameBytes(namespace)
    }

    deinit { name.deallocate() }

    private static func nameBytes(_ namespace: Namespace) -> (UnsafeMutableRawBufferPointer, Int) {
        let bytes = Array(namespace.fullName.utf8) + [0]
        let name = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        name.copyBytes(from: bytes)
        return (name, namespace.database.utf8.count)
    }

    /// The name that it had at a time; nil when it was not there yet.
    func name(at timestamp: Timestamp) -> Namespace? {
        if namedSince <= timestamp { return namespace }
        return formerNames.last { $0.since <= timestamp }?.namespace
    }

    /// Keeps the present name for reads in the past, before another is given. `oldest` is the earliest that may be
    /// read.
    func rememberName(readableFrom oldest: Timestamp) {
        formerNames.append(FormerName(namespace: namespace, since: namedSince))
        while formerNames.count > 1, formerNames[1].since <= oldest { formerNames.removeFirst() }
    }

    func rename(to namespace: Namespace, at timestamp: Timestamp) {
        self.namespace = namespace
        namedSince = timestamp
        name.deallocate()
        (name, databaseCount) = Collection.nameBytes(namespace)
    }

    /// `database.collection`, in place.
    @inline(__always) public var namespaceBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: name.baseAddress, count: name.count - 1)
    }
    @inline(__always) var databaseBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: name.baseAddress, count: databaseCount)
    }
    @inline(__always) var collectionBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(name)[(databaseCount + 1)..<(name.count - 1)])
    }

    @inline(__always)
    func isNamed(database: UnsafeRawBufferPointer, collection: UnsafeRawBufferPointer) -> Bool {
        guard let base = name.baseAddress, let left = database.baseAddress, let right = collection.baseAddress,
            database.count == databaseCount, collection.count == name.count - 2 - databaseCount
        else { return false }
        return memcmp(base, left, database.count) == 0
            && memcmp(base + databaseCount + 1, right, collection.count) == 0
    }

    /// The index on `_id`, which every collection has.
    @inline(__always) var idIndex: CollectionIndex { indexes[0] }
    /// Whether a write touches nothing but the document and its `_id` index.
    @inline(__always) var hasOnlyIDIndex: Bool { indexes.count == 1 }

    /// Indexes that queries may use.
    public var readyIndexes: [CollectionIndex] { indexes.filter { $0.state == .ready } }

    public func index(named name: String) -> CollectionIndex? { indexes.first { $0.name == name } }
}

/// A record id as its table's key.
struct RecordKey {
    private var bigEndian: UInt64
    @inline(__always) init(_ id: UInt64) { bigEndian = id.bigEndian }
    @inline(__always) init(loadingFrom pointer: UnsafeRawPointer) { bigEndian = pointer.loadUnaligned(as: UInt64.self) }

    static let byteCount = 8

    @inline(__always) var id: UInt64 { UInt64(bigEndian: bigEndian) }

    @inline(__always) func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        var copy = bigEndian
        return try withUnsafeBytes(of: &copy) { try body($0) }
    }
}
