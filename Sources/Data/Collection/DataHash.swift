public import BSON
import CHash
public import Core

/// `dbHash`: for each collection of a database a hash over its documents in the order of `_id`, its options and its
/// index definitions; equal on members with equal data, whatever their record ids and tables are.
///
/// It reads in slices at the time of its start. A node that keeps no history (a standalone) hashes in one step.
public final class DatabaseHash {
    private let store: DataStore
    private let point: ReadPoint
    private let snapshot: SnapshotToken?
    private let collections: [Collection]
    private var position = 0
    private var walk: RowWalk?
    private var chain = HashChain()
    private var all = HashChain()
    private var hashes = Document()

    /// - Parameter names: the collections to hash; nil for all but system collections.
    public init(_ store: DataStore, database: String, collections names: Set<String>? = nil) throws {
        self.store = store
        collections = store.catalog.collections(in: database).filter {
            !$0.namespace.isSystem && names?.contains($0.namespace.collection) ?? true
        }
        if store.versions.keepsHistory {
            let time = store.versions.lastOptime.timestamp
            point = .at(time)
            snapshot = try store.versions.openSnapshot(at: time)
        } else {
            point = .latest
            snapshot = nil
        }
    }

    /// Gives back what it holds. Twice is harmless.
    public func close() { if let snapshot { store.versions.closeSnapshot(snapshot) } }

    /// Goes on until done or the slice is used up.
    /// - Throws: `QueryPlanKilled` when the data of a dropped collection is given back meanwhile.
    public func run(until deadline: Instant) throws -> WriteProgress {
        let isOver = { [runtime = store.runtime, snapshot] in snapshot != nil && runtime.now >= deadline }
        while position < collections.count {
            let collection = collections[position]
            guard !collection.isReclaimed else {
                throw ServerError(.queryPlanKilled, "dbHash ended: \(collection.namespace) was dropped")
            }
            if case .yield = try hash(collection, until: isOver) { return .yield }
            walk = nil
            let name = collection.namespace.collection
            hashes.append(name, .string(chain.hexString))
            all.add(Array(name.utf8) + Array(chain.hexString.utf8))
            position += 1
        }
        return .done
    }

    private func hash(_ collection: Collection, until isOver: () -> Bool) throws -> WriteProgress {
        var walk = self.walk ?? begin(collection)
        defer { self.walk = walk }
        return try walk.run(store.versions, until: isOver) { _, value in try add(value, collection) }
    }

    private func begin(_ collection: Collection) -> RowWalk {
        chain = HashChain()
        Document { collection.options.write(to: $0) }.withView { chain.add($0.bytes) }
        for index in collection.indexes.sorted(by: { $0.name < $1.name }) {
            index.definition.withView { chain.add($0.bytes) }
        }
        return RowWalk(collection.idIndex.table, at: point)
    }

    private func add(_ recordID: UnsafeRawBufferPointer, _ collection: Collection) throws {
        switch try store.versions.get(collection.table, recordID, at: point) {
        case .found(let document): chain.add(document)
        case .absent: throw InvariantViolation("an _id entry of \(collection.namespace) has no record")
        case .notResident: throw StorageNotResident(table: collection.table, key: [UInt8](recordID))
        }
    }

    /// `{collections: {name: hash, …}, md5: hash of all}`, once done.
    public var result: Document { ["collections": .document(hashes), "md5": .string(all.hexString)] }
}

extension DataStore {
    /// One hash over all databases that are replicated, in one step.
    public func hashOfEverything() throws -> String {
        var all = HashChain()
        let databases = Set(catalog.collections.filter { !$0.namespace.isLocal }.map(\.namespace.database))
        for database in databases.sorted() {
            let hash = try DatabaseHash(self, database: database)
            defer { hash.close() }
            while case .yield = try hash.run(until: .distantFuture) {}
            all.add(Array(database.utf8))
            hash.result.withView { all.add($0.bytes) }
        }
        return all.hexString
    }
}

/// 128 bits of XXH3 over a run of byte strings: each is hashed with the hash of those before it as its seed.
private struct HashChain {
    private var high: UInt64 = 0x9E37_79B9_7F4A_7C15
    private var low: UInt64 = 0

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        high = chash_xxh3_64_seeded(bytes.baseAddress, bytes.count, high)
        low = chash_xxh3_64_seeded(bytes.baseAddress, bytes.count, low)
    }
    mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    var hexString: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for half in [high, low] {
            for shift in stride(from: 60, through: 0, by: -4) { text.append(digits[Int(half >> UInt64(shift) & 15)]) }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
