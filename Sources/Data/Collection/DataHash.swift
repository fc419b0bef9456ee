public import BSON
import CHash
import Core

extension DataStore {
    /// `dbHash`: for each collection of a database a hash over its documents in the order of `_id`, its options and its
    /// index definitions; equal on members with equal data, whatever their record ids and tables are.
    ///
    /// Looks at everything in one call. For tests, the simulator's checkers and a client that asks for it.
    public func hash(database: String) throws -> Document {
        var collections = Document()
        var all = HashChain()
        for collection in catalog.collections(in: database) where !collection.namespace.isSystem {
            let hash = try hash(collection)
            collections.append(collection.namespace.collection, .string(hash))
            all.add(Array(collection.namespace.collection.utf8) + Array(hash.utf8))
        }
        return ["collections": .document(collections), "md5": .string(all.hexString)]
    }

    /// One hash over all databases that are replicated.
    public func hashOfEverything() throws -> String {
        var all = HashChain()
        for database in catalog.databases where database != "local" {
            all.add(Array(database.utf8))
            try hash(database: database).withView { all.add($0.bytes) }
        }
        return all.hexString
    }

    private func hash(_ collection: Collection) throws -> String {
        var chain = HashChain()
        Document { collection.options.write(to: $0) }.withView { chain.add($0.bytes) }
        for index in collection.indexes.sorted(by: { $0.name < $1.name }) {
            index.definition.withView { chain.add($0.bytes) }
        }
        try versions.forEachRow(collection.idIndex.table) { _, value in
            guard let base = value.baseAddress, value.count == RecordKey.byteCount,
                let document = try document(RecordKey(loadingFrom: base), in: collection)
            else { throw InvariantViolation("an _id entry of \(collection.namespace) has no record") }
            chain.add(document.bytes)
        }
        return chain.hexString
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
