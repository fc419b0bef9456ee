import BSON
import Core
import Query
import Testing

@testable import Data

extension Fixture {
    /// Takes back everything behind `common`, in slices.
    @discardableResult
    func rollBack(to common: OpTime, id: Int32 = 2, archive: (any RollbackArchive)? = nil) throws -> RollbackOperation {
        let operation = try RollbackOperation(
            store, to: common, rollbackID: id, archive: archive ?? store.makeRollbackArchive())
        while case .yield = try operation.run(until: .zero) {}
        return operation
    }

    static let rollbackCollection = Namespace("local", "rollback")

    /// What `local.rollback` holds, oldest first.
    func archived() throws -> [Document] {
        guard store.catalog.find(Fixture.rollbackCollection) != nil else { return [] }
        return try find(in: Fixture.rollbackCollection)
    }

    /// The documents of all replicated collections, by the collection's uuid and their `_id`.
    func everyDocument() throws -> [String: Document] {
        var all: [String: Document] = [:]
        for collection in store.catalog.collections where collection.kind == .replicated {
            for document in try find(in: collection.namespace) {
                all["\(collection.uuid) \(document["_id"] ?? .null)"] = document
            }
        }
        return all
    }

    /// Everything in memory that is made from the tables, in words.
    func inMemory() throws -> [String] {
        var lines = store.catalog.collections.map { collection in
            let indexes = collection.indexes.map {
                "\($0.name) \($0.table) \($0.state) \($0.visibleFrom) \($0.spec.multikeyPaths)"
            }
            return "\(collection.namespace) \(collection.uuid) \(collection.table) \(collection.kind) since "
                + "\(collection.namedSince) \(collection.count) \(collection.dataBytes) \(collection.nextRecordID) "
                + "\(collection.options) \(indexes)"
        }
        lines += store.catalog.pendingDrops.map { "dropped \($0.optime) \($0.tables)" }
        lines += store.indexBuilds.map { "builds \($0.indexes.map(\.name)) \($0.isScanned)" }
        lines.append("\(String(describing: store.oplog.last))")
        return lines
    }
}

@Suite("Rollback")
struct RollbackOperationTests {
    @Test("each document that is lost is kept once, as it was, with the write that made it so; nothing else is kept")
    func lostDocuments() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": "unchanged"])
        try node.insertOne(["_id": "updated", "n": 0])
        try node.insertOne(["_id": "deleted"])
        try node.insertOne(["_id": "there and back", "n": 0])
        let common = try #require(node.store.oplog.last)
        try node.insertOne(["_id": "inserted"])
        try node.update(["q": ["_id": "updated"], "u": ["$inc": ["n": 1]]])
        try node.update(["q": ["_id": "updated"], "u": ["$inc": ["n": 1]]])
        let lastUpdate = try #require(node.store.oplog.last)
        try node.insertOne(["_id": "short-lived"])
        _ = try node.delete(["_id": "short-lived"])
        _ = try node.delete(["_id": "deleted"])
        try node.update(["q": ["_id": "there and back"], "u": ["$set": ["n": 1]]])
        try node.update(["q": ["_id": "there and back"], "u": ["$set": ["n": 0]]])
        let uuid = try node.collection().uuid

        #expect(try node.rollBack(to: common, id: 7).keptCount == 2)
        let kept = try node.archived()
        #expect(kept.map { $0["document"] } == [["_id": "inserted"], ["_id": "updated", "n": 2]])
        let updated = try #require(kept.last)
        #expect(updated.keys == ["_id", "rollbackId", "ns", "ui", "optime", "common", "wall", "document"])
        #expect(updated["rollbackId"] == 7)
        #expect(updated["ns"] == "shop.orders")
        #expect(updated["ui"] == uuid.value)
        #expect(updated["optime"]?.asDocument?["ts"] == .timestamp(lastUpdate.timestamp))
        #expect(updated["common"]?.asDocument?["ts"] == .timestamp(common.timestamp))
        let left = try node.find(["sort": ["_id": 1]]).map { $0["_id"] }
        #expect(left == ["deleted", "there and back", "unchanged", "updated"])
        #expect(node.store.oplog.last == common)
    }

    @Test("random writes: what differs from the common point is kept, and everything is as it was", arguments: 1...10)
    func randomWrites(seed: UInt64) async throws {
        let node = try await Fixture(seed: seed)
        var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 71), node: node)
        for _ in 0..<80 { try writes.run() }
        let hash = try node.store.hashOfEverything()
        let common = try #require(node.store.oplog.last)
        let before = try node.everyDocument()
        for _ in 0..<80 { try writes.run() }
        let after = try node.everyDocument()
        try node.rollBack(to: common)
        #expect(try node.store.hashOfEverything() == hash)
        #expect(try node.store.checkConsistency() == [])
        var kept: [String: Document] = [:]
        for document in try node.archived() {
            let lost = try #require(document["document"]?.asDocument)
            let uuid = try document.withView { try #require(CollectionUUID($0["ui"])) }
            let key = "\(uuid) \(lost["_id"] ?? .null)"
            #expect(kept[key] == nil, "\(key) is kept twice")
            kept[key] = lost
        }
        for (key, document) in after where before[key] != document {
            #expect(kept[key] == document, "\(key)")
        }
        // One that was deleted and inserted again as it was is another document with the same content.
        for (key, document) in kept { #expect(after[key] == document, "\(key)") }
        #expect(kept.count > 5)
    }

    @Test("what is in memory after a rollback equals a cold start from the same tables", arguments: 1...10)
    func coldStart(seed: UInt64) async throws {
        let node = try await Fixture(seed: seed, engine: LastingStorage())
        var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 17), node: node)
        for _ in 0..<60 { try writes.run() }
        let common = try #require(node.store.oplog.last)
        for _ in 0..<60 { try writes.run() }
        try node.rollBack(to: common)
        let afterRollback = try node.inMemory()
        let started = try await Fixture(restarting: node)
        #expect(try await started.store.resumeRollback() == nil)
        try started.store.load()
        let differing = Set(try started.inMemory()).symmetricDifference(afterRollback).sorted()
        #expect(differing == [])
        #expect(try started.store.checkConsistency() == [])
    }

    @Test("a member that stops anywhere in a rollback goes on with it at its next start", arguments: 1...6)
    func resumes(seed: UInt64) async throws {
        func prepare() async throws -> (node: Fixture, common: OpTime) {
            let node = try await Fixture(seed: seed, engine: LastingStorage())
            var writes = RandomWrites(numbers: SplitMix64(seed: seed &* 37), node: node)
            for _ in 0..<40 { try writes.run() }
            let common = try #require(node.store.oplog.last)
            for _ in 0..<150 { try writes.run() }
            return (node, common)
        }
        let (whole, common) = try await prepare()
        try whole.rollBack(to: common)
        let expected = try whole.store.hashOfEverything()
        let lost = try whole.archived().map { $0["document"] }
        var slices = 0
        while true {
            let (node, common) = try await prepare()
            let operation = try RollbackOperation(node.store, to: common, rollbackID: 2)
            var isDone = false
            for _ in 0..<slices where !isDone { if case .done = try operation.run(until: .zero) { isDone = true } }
            if isDone { break }
            let next = try await Fixture(restarting: node)
            #expect(try await next.store.resumeRollback()?.common == common, "after \(slices) slices")
            #expect(try next.store.hashOfEverything() == expected, "after \(slices) slices")
            #expect(try next.archived().map { $0["document"] } == lost, "after \(slices) slices")
            #expect(next.store.oplog.last == common)
            #expect(try next.store.checkConsistency() == [])
            let again = try await Fixture(restarting: next)
            #expect(try await again.store.resumeRollback() == nil)
            slices += 1
        }
        #expect(slices >= 3)
    }

    @Test("what is committed is known again after a restart, and a rollback below it is refused")
    func commitPointAfterRestart() async throws {
        let node = try await Fixture(engine: LastingStorage())
        try node.insertOne(["_id": 1])
        let common = try #require(node.store.oplog.last)
        try node.insertOne(["_id": 2])
        let committed = try #require(node.store.oplog.last)
        try node.store.onCommitPoint(committed)
        try node.insertOne(["_id": 3])
        let started = try await Fixture(restarting: node)
        try started.store.load()
        #expect(started.versions.committed == committed)
        #expect(throws: InvariantViolation.self) { try started.rollBack(to: common) }
        #expect(try started.find().count == 3)
        try started.rollBack(to: committed)
        #expect(try started.find().count == 2)
    }

    @Test("a flush notes what is committed, so that a crash finds it", arguments: [true, false])
    func commitPointAfterCrash(keepsLog: Bool) async throws {
        let disk = LastingStorage(keepsLog: keepsLog)
        let node = try await Fixture(engine: disk)
        try node.insertOne(["_id": 1])
        let committed = try #require(node.store.oplog.last)
        try node.store.onCommitPoint(committed)
        try node.insertOne(["_id": 2])
        try await node.versions.flush()
        let started = try await Fixture(reopening: disk)
        #expect(started.versions.committed == committed)
        // What is open is what a rollback may still take back.
        #expect(started.store.oplog.uncommittedBytes > 0)
        #expect(started.store.oplog.uncommittedBytes < started.store.oplog.byteCount)
    }

    @Test("a rollback into undo that was pruned before a crash is refused")
    func belowPrunedUndo() async throws {
        let disk = LastingStorage()
        let node = try await Fixture(engine: disk)
        try node.insertOne(["_id": 0])
        let common = try #require(node.store.oplog.last)
        for id in 1...20 as ClosedRange<Int32> { try node.insertOne(["_id": .int32(id)]) }
        try node.store.onCommitPoint(try #require(node.store.oplog.last))
        while try !node.versions.pruneUndo(limit: 7) {}
        let started = try await Fixture(reopening: disk)
        #expect(throws: InvariantViolation.self) { try started.rollBack(to: common) }
        #expect(try started.find().count == 21)
    }

    @Test("a rollback below the commit point is refused with an explanation, and changes nothing")
    func belowCommitPoint() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        let common = try #require(node.store.oplog.last)
        try node.insertOne(["_id": 2])
        try node.store.onCommitPoint(try #require(node.store.oplog.last))
        let error = #expect(throws: InvariantViolation.self) {
            _ = try RollbackOperation(node.store, to: common, rollbackID: 2)
        }
        #expect(error?.description.contains("a majority of the set has everything up to") == true)
        #expect(try node.find().count == 2)
        #expect(try RollbackMark.load(node.versions) == nil)
    }

    @Test("local.rollback has a limit: documents of earlier rollbacks make room first")
    func limit() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 0])
        let common = try #require(node.store.oplog.last)
        let filler = Value.string(String(repeating: "x", count: 1000))
        for id: Int32 in 2...4 {
            for number: Int32 in 0..<3 { try node.insertOne(["_id": .int32(id * 10 + number), "filler": filler]) }
            let archive = LocalRollbackCollection(node.store, bytesMax: 8000)
            try node.rollBack(to: common, id: id, archive: archive)
            #expect(archive.dropped == (id == 4 ? 3 : 0))
        }
        #expect(try node.archived().map { $0["rollbackId"]?.asInteger } == [3, 3, 3, 4, 4, 4])
    }

    @Test("with createRollbackDataFiles off nothing is kept, and everything is undone")
    func nothingKept() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1])
        let common = try #require(node.store.oplog.last)
        try node.insertOne(["_id": 2])
        node.store.keepsRolledBack = false
        let operation = try node.rollBack(to: common)
        #expect(operation.place.contains("createRollbackDataFiles"))
        #expect(try node.archived() == [])
        #expect(try node.find() == [["_id": 1]])
    }

    @Test("after a rollback a retry of what was taken back is executed, of what was kept it is not")
    func retries() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "n": 0])
        let statement: Document = ["q": ["_id": 1], "u": ["$inc": ["n": 1]]]
        try node.update(statement, with: try node.context(session: 1, number: 1))
        let common = try #require(node.store.oplog.last)
        try node.update(statement, with: try node.context(session: 2, number: 1))
        try node.update(statement, with: try node.context(session: 1, number: 2))
        #expect(try node.find() == [["_id": 1, "n": 3]])
        try node.rollBack(to: common)
        #expect(try node.find() == [["_id": 1, "n": 1]])
        try node.update(statement, with: try node.context(session: 1, number: 1))
        #expect(try node.find() == [["_id": 1, "n": 1]])
        try node.update(statement, with: try node.context(session: 2, number: 1))
        try node.update(statement, with: try node.context(session: 1, number: 2))
        #expect(try node.find() == [["_id": 1, "n": 3]])
    }
}
