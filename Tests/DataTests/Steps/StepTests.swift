import BSON
import Core
@testable import Data
import Query
import Testing

/// Several statements in one step: what a transaction is made of.
@Suite struct StepTests {
    private static let orders = Fixture.orders
    private static let items = Namespace("shop", "items")

    /// Counts the batches that reach the engine.
    private static func batches(_ node: Fixture, _ body: () throws -> Void) rethrows -> UInt64 {
        let before = node.engine.appliedMark
        try body()
        return node.engine.appliedMark - before
    }

    private func insert(
        _ document: Document, into collection: Collection, _ step: WriteStep, _ node: Fixture
    ) throws {
        try document.withView {
            try node.store.insert(
                $0, into: collection, step, node.context, nil, StatementOutcome(kind: .insert, n: 1))
        }
    }

    /// Three documents of two collections and a unique index, the second statement rewound.
    private func writeGroup(_ node: Fixture) throws {
        let orders = try #require(node.store.catalog.find(Self.orders))
        try node.store.step(grouped: true) { step in
            let items = try node.store.create(Self.items, CollectionOptions(), step, node.context)
            let spec = try (["key": ["sku": 1], "name": "sku_1", "unique": true] as Document).withView {
                try CollectionIndex.spec($0)
            }
            try node.store.createOnEmpty(spec, items, step, node.context)
            try insert(["_id": 1, "sku": "a"], into: items, step, node)
            // The second statement writes to both collections, makes an index multikey, and fails in its end.
            let mark = step.mark
            #expect(throws: ServerError.self) {
                try insert(["_id": 7], into: orders, step, node)
                try insert(["_id": 8, "sku": ["x", "y"]], into: items, step, node)
                try insert(["_id": 9, "sku": "a"], into: items, step, node)
            }
            step.rewind(to: mark)
            #expect(step.documentCount(of: items) == 1 && step.documentCount(of: orders) == 1)
            #expect(items.indexes[1].spec.multikeyPaths.allSatisfy { $0 == 0 })
            try insert(["_id": 2, "sku": "x"], into: items, step, node)
            try insert(["_id": 2, "total": 5], into: orders, step, node)
            // Until the end nobody else sees any of it.
            #expect(try node.find(in: Self.orders).count == 1)
        }
    }

    @Test("three documents of two collections and an index are one batch with one entry, which others apply as one")
    func oneBatchOneEntry() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        let entriesBefore = node.store.oplog.count
        // The numbers of the new tables are there already.
        let batches = try Self.batches(node) { try writeGroup(node) }
        #expect(batches == 1)
        #expect(node.store.oplog.count == entriesBefore + 1)
        #expect(try node.find(in: Self.orders) == [["_id": 1], ["_id": 2, "total": 5]])
        #expect(try node.find(["filter": ["sku": "x"]], in: Self.items) == [["_id": 2, "sku": "x"]])
        #expect(try node.find(in: Self.items).count == 2)
        #expect(try node.store.checkConsistency().isEmpty)

        let entry = try #require(try node.entries().last)
        #expect(entry["op"] == "c" && entry["ns"] == "admin.$cmd")
        let operations = try #require(entry["o"]?.asDocument?["applyOps"]?.asArray).compactMap { $0.asDocument }
        #expect(operations.map { $0["op"]?.asString } == ["c", "c", "i", "i", "i"])
        #expect(
            operations.map { $0["ns"]?.asString } == [
                "shop.$cmd", "shop.$cmd", "shop.items", "shop.items", "shop.orders",
            ])
        #expect(operations.allSatisfy { $0["ts"] == nil && $0["ui"] != nil })

        let secondary = try await Fixture()
        let applied = try Self.batches(secondary) { try secondary.apply(Array(try node.entries().suffix(1 + 2))) }
        #expect(try secondary.store.hashOfEverything() == node.store.hashOfEverything())
        #expect(secondary.store.oplog.last == node.store.oplog.last)
        // The create, the insert, and one for the group; numbers of tables are reserved apart.
        #expect(applied == 4)
        #expect(try secondary.store.checkConsistency().isEmpty)
    }

    @Test("a group of statements that fails, or a commit that is undone, leaves data and memory as they were")
    func undone() async throws {
        struct Failure: Error {}
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        let optime = try #require(node.store.oplog.last)
        let hash = try node.store.hashOfEverything()
        let orders = try #require(node.store.catalog.find(Self.orders))
        #expect(throws: Failure.self) {
            try node.store.step(grouped: true) { step in
                let items = try node.store.create(Self.items, CollectionOptions(), step, node.context)
                try insert(["_id": 1], into: items, step, node)
                try node.store.rename(orders, to: Namespace("shop", "old"), over: nil, step)
                try insert(["_id": 2], into: orders, step, node)
                throw Failure()
            }
        }
        #expect(node.store.catalog.find(Self.items) == nil)
        #expect(node.store.catalog.find(Self.orders) === orders && orders.count == 1)
        #expect(try node.store.hashOfEverything() == hash)
        #expect(node.store.oplog.last == optime)
        // As a rollback undoes it: the whole of it, by one optime.
        try writeGroup(node)
        while try !node.versions.undo(after: optime, limit: 3) {}
        try node.store.load()
        #expect(try node.store.hashOfEverything() == hash)
    }

    @Test("a second logged write in a step that does not group its operations is refused")
    func plainStepsHaveOneOperation() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        let orders = try #require(node.store.catalog.find(Self.orders))
        #expect(throws: InvariantViolation.self) {
            try node.store.step { step in
                try insert(["_id": 2], into: orders, step, node)
                try insert(["_id": 3], into: orders, step, node)
            }
        }
        #expect(try node.find(in: Self.orders) == [["_id": 1]])
    }
}
