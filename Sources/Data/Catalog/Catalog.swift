import BSON
public import Core
import Query

/// The collections of a member. What is in memory mirrors the catalog tables, and is loaded from them by one function,
/// at open as after a rollback.
public final class Catalog {
    let versions: VersionStore
    /// All collections, in the order of their names.
    public private(set) var collections: [Collection] = []
    private var byUUID: [CollectionUUID: Collection] = [:]
    private var byName = NameTable()
    /// The collection that was looked up last: mostly the next one too.
    private var lastFound: Collection?
    /// Drops whose data is kept until no rollback and no read in the past can ask for it, oldest first.
    private(set) var pendingDrops: [PendingDrop] = []
    private var nextTable = DataTables.firstOfCollections
    /// Numbers below this one are noted as given out.
    private var reservedTables = DataTables.firstOfCollections

    init(versions: VersionStore) { self.versions = versions }

    // MARK: Lookup

    /// The collection of that name, by raw bytes as in a command; nil when there is none.
    @inline(__always)
    public func find(database: UnsafeRawBufferPointer, collection: UnsafeRawBufferPointer) -> Collection? {
        if let lastFound, lastFound.isNamed(database: database, collection: collection) { return lastFound }
        let found = byName.find(database: database, collection: collection)
        if let found { lastFound = found }
        return found
    }

    /// The collection of that name; nil when there is none.
    public func find(_ namespace: Namespace) -> Collection? {
        var database = namespace.database
        var collection = namespace.collection
        return database.withUTF8 { databaseBytes in
            collection.withUTF8 {
                find(database: UnsafeRawBufferPointer(databaseBytes), collection: UnsafeRawBufferPointer($0))
            }
        }
    }

    public func find(_ uuid: CollectionUUID) -> Collection? { byUUID[uuid] }

    /// The collection of that name as a read at a point in time sees it: one that was created later is not there, one
    /// that was dropped later still is, and one that was renamed later has its name of then.
    public func find(_ namespace: Namespace, at point: ReadPoint) throws(ServerError) -> Collection? {
        guard case .at(let timestamp) = point, !namespace.isLocal else { return find(namespace) }
        if let collection = find(namespace), collection.namedSince <= timestamp { return collection }
        for collection in collections where !collection.formerNames.isEmpty {
            if collection.name(at: timestamp) == namespace { return collection }
        }
        for drop in pendingDrops where drop.optime.timestamp > timestamp {
            if let collection = drop.collection, collection.name(at: timestamp) == namespace { return collection }
        }
        return nil
    }

    /// The names of all databases that hold a collection, in order.
    public var databases: [String] {
        var names: [String] = []
        for collection in collections where collection.namespace.database != names.last {
            names.append(collection.namespace.database)
        }
        return names
    }

    /// The collections of one database, in the order of their names.
    public func collections(in database: String) -> [Collection] {
        collections.filter { $0.namespace.database == database }
    }

    // MARK: Changes in memory

    func add(_ collection: Collection) {
        let index = collections.firstIndex { $0.namespace > collection.namespace } ?? collections.count
        collections.insert(collection, at: index)
        byUUID[collection.uuid] = collection
        byName.insert(collection)
    }

    func remove(_ collection: Collection) {
        collections.removeAll { $0 === collection }
        byUUID[collection.uuid] = nil
        rebuildNames()
    }

    func rename(_ collection: Collection, to namespace: Namespace, at timestamp: Timestamp) {
        remove(collection)
        collection.rename(to: namespace, at: timestamp)
        add(collection)
    }

    private func rebuildNames() {
        lastFound = nil
        byName = NameTable()
        for collection in collections { byName.insert(collection) }
    }

    /// A table number that was never used before, on this member, also before a restart. Numbers are reserved in steps
    /// of their own.
    func newTable() throws -> TableID {
        try invariant(nextTable < UInt32.max - Catalog.tablesPerReservation, "all table numbers are used up")
        if nextTable >= reservedTables {
            let reserved = nextTable + Catalog.tablesPerReservation
            try versions.step(at: nil) { step in
                try withUnsafeBytes(of: reserved.littleEndian) { value in
                    try Catalog.numbersKey.withUnsafeBytes {
                        try step.put(DataTables.numbers, .local, key: $0, value: value)
                    }
                }
            }
            reservedTables = reserved
        }
        defer { nextTable += 1 }
        return TableID(rawValue: nextTable)
    }

    private static let numbersKey: [UInt8] = [0]
    private static let tablesPerReservation: UInt32 = 64

    private func loadTableNumbers() throws {
        try versions.forEachRow(DataTables.numbers) { _, value in
            guard value.count == 4 else { throw InvariantViolation("the table numbers are not readable") }
            let reserved = UInt32(littleEndian: value.loadUnaligned(as: UInt32.self))
            // Those of the last reservation that were not used are skipped after a restart.
            if reserved > reservedTables { (nextTable, reservedTables) = (reserved, reserved) }
        }
    }

    // MARK: Changes of the tables

    func put(_ collection: Collection, _ step: WriteStep) throws {
        let record = CatalogRecord.encode(collection)
        try CatalogRecord.key(collection.table).withUnsafeBytes { key in
            try record.withView {
                try step.put(catalogTable(collection.kind), collection.kind, key: key, value: $0.bytes)
            }
        }
    }

    func delete(_ collection: Collection, _ step: WriteStep) throws {
        try CatalogRecord.key(collection.table).withUnsafeBytes {
            try step.delete(catalogTable(collection.kind), collection.kind, key: $0)
        }
    }

    private func catalogTable(_ kind: TableKind) -> TableID {
        kind == .local ? DataTables.localCatalog : DataTables.catalog
    }

    // MARK: Loading

    /// Makes everything in memory anew from the tables.
    func load() throws {
        for collection in collections + pendingDrops.compactMap({ $0.collection }) {
            collection.isDropped = true
            collection.isReclaimed = true
        }
        pendingDrops.removeAll()
        collections.removeAll()
        byUUID.removeAll()
        try loadTableNumbers()
        try load(DataTables.catalog, kind: .replicated)
        try load(DataTables.localCatalog, kind: .local)
        collections.sort { $0.namespace < $1.namespace }
        for collection in collections { byUUID[collection.uuid] = collection }
        rebuildNames()
        try loadPendingDrops()
    }

    private func load(_ table: TableID, kind: TableKind) throws {
        try versions.forEachRow(table) { _, value in
            let collection = try CatalogRecord.decode(try storedDocument(value), kind: kind)
            try countersFromTables(collection)
            collections.append(collection)
        }
    }

    /// Sets the counters of a collection from its tables.
    func countersFromTables(_ collection: Collection) throws {
        let size = versions.engine.statistics(collection.table)
        collection.count = size.entries
        collection.dataBytes = max(size.bytes - size.entries * RecordKey.byteCount, 0)
        collection.nextRecordID =
            try versions.lastKey(collection.table).map { key in
                guard key.count == RecordKey.byteCount, let base = key.baseAddress else {
                    throw InvariantViolation("a record key of \(collection.namespace) is not a record id")
                }
                return RecordKey(loadingFrom: base).id + 1
            } ?? 1
    }

    // MARK: Drops in two phases

    /// Tables that nobody can reach any more but a read in the past, or a rollback of their drop.
    struct PendingDrop {
        let optime: OpTime
        let tables: [TableID]
        /// The collection when it went as a whole: reads in the past still find it.
        let collection: Collection?
    }

    /// Marks tables as dropped at `optime`.
    func add(_ drop: PendingDrop, _ step: WriteStep) throws {
        let record = Document { writer in
            writer.append("optime", drop.optime)
            writer.array("tables") { array in for table in drop.tables { array.append(.int64(Int64(table.rawValue))) } }
            if let collection = drop.collection {
                writer.append("collection" as String, .document(CatalogRecord.encode(collection)))
            }
        }
        try pendingDropKey(drop).withUnsafeBytes { key in
            try record.withView { try step.put(DataTables.pendingDrops, .local, key: key, value: $0.bytes) }
        }
        pendingDrops.append(drop)
        step.onRewind { [self] in pendingDrops.removeLast() }
    }

    private func pendingDropKey(_ drop: PendingDrop) -> [UInt8] {
        var key = withUnsafeBytes(of: drop.optime.timestamp.rawValue.bigEndian) { [UInt8]($0) }
        for table in drop.tables.prefix(1) { key += CatalogRecord.key(table) }
        return key
    }

    /// Gives back the data of drops that no rollback undoes any more and no read in the past sees. Cheap when there are
    /// none.
    @inline(__always)
    public func onCommitPoint(_ commitPoint: OpTime) throws {
        guard let first = pendingDrops.first else { return }
        let due = min(commitPoint.timestamp, versions.oldestReadable)
        if first.optime.timestamp <= due { try reclaim { $0.optime.timestamp <= due } }
    }

    private func reclaim(where isDue: (PendingDrop) -> Bool) throws {
        let due = pendingDrops.filter(isDue)
        guard !due.isEmpty else { return }
        try versions.step(at: nil) { step in
            for drop in due {
                // Below the commit point nothing is undone, so the tables go without history.
                for table in drop.tables { step.dropTable(table) }
                try pendingDropKey(drop).withUnsafeBytes {
                    try step.delete(DataTables.pendingDrops, .local, key: $0)
                }
            }
        }
        for drop in due { drop.collection?.isReclaimed = true }
        pendingDrops.removeAll(where: isDue)
    }

    /// Gives back the data of all pending drops: there is nothing left that a rollback could restore.
    func forgetPendingDrops() throws { try reclaim { _ in true } }

    /// Gives back the data of drops that a rollback has undone together with what they dropped.
    func forgetPendingDrops(after timestamp: Timestamp) throws { try reclaim { $0.optime.timestamp > timestamp } }

    /// Loads the drops that are still pending; those that a rollback has undone are forgotten, because their tables are
    /// in use.
    private func loadPendingDrops() throws {
        pendingDrops.removeAll()
        var inUse: Set<TableID> = []
        for collection in collections {
            inUse.insert(collection.table)
            for index in collection.indexes { inUse.insert(index.table) }
        }
        var undone: [PendingDrop] = []
        try versions.forEachRow(DataTables.pendingDrops) { _, value in
            let view = try storedDocument(value)
            guard let optime = view["optime"]?.asDocument.flatMap({ OpTime($0) }), let stored = view["tables"]?.asArray
            else { throw InvariantViolation("a stored pending drop is not readable") }
            let tables = stored.compactMap { CatalogRecord.tableID($0.value) }
            let collection = try view["collection"]?.asDocument.map { try CatalogRecord.decode($0, kind: .replicated) }
            collection?.isDropped = true
            let drop = PendingDrop(optime: optime, tables: tables, collection: collection)
            if tables.contains(where: inUse.contains) { undone.append(drop) } else { pendingDrops.append(drop) }
        }
        guard !undone.isEmpty else { return }
        try versions.step(at: nil) { step in
            for drop in undone {
                try pendingDropKey(drop).withUnsafeBytes {
                    try step.delete(DataTables.pendingDrops, .local, key: $0)
                }
            }
        }
    }
}
