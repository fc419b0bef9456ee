import BSON
import Core
import Data
import Testing

/// `validate` and `dbHash` in slices, with writes between them.
@Suite("Checks in slices") struct SlicedCheckTests {
    private func filled(_ count: Int = 500) async throws -> Fixture {
        let node = try await Fixture()
        for id in 0..<count { try node.insertOne(["_id": .int32(Int32(id)), "a": .int32(Int32(id % 7))]) }
        try node.createIndex(["key": ["a": 1], "name": "a_1"])
        return node
    }

    @Test("a validation between whose slices documents are written finds no fault that is none")
    func validateWhileWriting() async throws {
        let node = try await filled()
        let validation = CollectionValidation(node.store, try node.collection())
        var slices = 0
        while case .yield = try validation.run(until: node.runtime.now) {
            slices += 1
            try node.delete(["_id": .int32(Int32(slices * 17))])
            try node.update(["q": ["_id": .int32(Int32(slices * 31))], "u": ["$set": ["a": 99]]])
            try node.insertOne(["_id": .int32(Int32(1000 + slices)), "a": 5])
        }
        #expect(slices > 5)
        #expect(validation.report.errors == [])
        #expect(validation.report.warnings.count == 1)
    }

    @Test("an entry that is missing, one without a document and a wrong number are found")
    func damage() async throws {
        let node = try await filled(20)
        #expect(try node.store.checkConsistency() == [])
        let collection = try node.collection()
        let index = try #require(collection.index(named: "a_1"))
        let rows = RowBuffer(limit: 1)
        _ = try node.versions.read(index.table, from: .start, direction: .forward, at: .latest, into: rows)
        let key = [UInt8](try #require(rows.rows.first).key)
        try node.write { batch in key.withUnsafeBytes { batch.delete(index.table, key: $0) } }
        let stray = [UInt8](key.dropLast(8)) + [0, 0, 0, 0, 0, 0, 3, 232]
        try node.write { batch in
            stray.withUnsafeBytes { key in [UInt8]().withUnsafeBytes { batch.put(index.table, key: key, value: $0) } }
        }
        let errors = try node.store.checkConsistency()
        #expect(errors.contains { $0.contains("a_1 lacks 1 entries") })
        #expect(errors.contains { $0.contains("a_1 has 1 entries without a document") })
    }

    @Test("a hash in slices is that of the data at its start, whatever is written meanwhile")
    func hashWhileWriting() async throws {
        let node = try await filled()
        let whole = try DatabaseHash(node.store, database: "shop")
        while case .yield = try whole.run(until: Fixture.deadline) {}
        whole.close()
        let sliced = try DatabaseHash(node.store, database: "shop")
        var slices = 0
        while case .yield = try sliced.run(until: node.runtime.now) {
            slices += 1
            try node.delete(["_id": .int32(Int32(slices * 17))])
            try node.update(["q": ["_id": .int32(Int32(499 - slices))], "u": ["$set": ["b": 99]]])
        }
        #expect(slices > 5)
        #expect(sliced.result == whole.result)
        #expect(node.versions.openSnapshotCount == 1)
        sliced.close()
        #expect(node.versions.openSnapshotCount == 0)
    }
}
