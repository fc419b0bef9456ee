import BSON
import Conformance
import Core
@testable import Data
import Query
import Testing

/// Entries and data are one batch: an engine fails between any two of its calls, and what it has is opened again.
@Suite struct AtomicBatchTests {
    private typealias States = [OpTime: String]

    /// Writes of every kind. `noteCommon` is told where a rollback may go.
    private func work(_ node: Fixture, _ noteCommon: (OpTime) -> Void = { _ in }) throws {
        try node.insert(["_id": 1, "a": 1], ["_id": 2, "a": [1, 2]], ["_id": 3])
        try node.createIndex(["key": ["b": 1], "name": "b_1"], on: Namespace("shop", "items"))
        try node.insert(["_id": 1, "b": [1, 2]], into: Namespace("shop", "items"))
        try node.insert(["_id": 9], with: try node.context(session: 1, number: 1))
        let common = try #require(node.store.oplog.last)
        noteCommon(common)
        try node.update(["q": ["_id": 1], "u": ["$set": ["a": 7]]])
        try node.delete(["_id": 3])
        let orders = try #require(node.store.catalog.find(Fixture.orders))
        try node.store.step(grouped: true) { step in
            for id in [10, 11] as [Int32] {
                try (["_id": .int32(id)] as Document).withView {
                    try node.store.insert(
                        $0, into: orders, step, node.context, nil, StatementOutcome(kind: .insert, n: 1))
                }
            }
        }
        _ = try node.store.dropCollection(Namespace("shop", "items"), node.context)
        _ = try Document().withView { try node.store.appendNoOp($0, node.context) }
    }

    private func rollBack(_ node: Fixture, to common: OpTime) throws {
        let operation = try RollbackOperation(node.store, to: common, rollbackID: 2)
        while case .yield = try operation.run(until: .zero) {}
    }

    /// The states behind every entry, and where the rollback goes.
    private func reference() async throws -> (states: States, common: OpTime, entries: [Document]) {
        let node = try await Fixture()
        var states: States = [.null: try node.store.hashOfEverything()]
        node.store.onAppend = { states[$0] = try? node.store.hashOfEverything() }
        var common = OpTime.null
        try work(node) { common = $0 }
        return (states, common, try node.entries())
    }

    /// What the engine's disk holds is the state behind the last entry of its log.
    private func check(_ disk: LastingStorage, _ states: States, _ comment: Comment) async throws {
        let after = try await Fixture(reopening: disk)
        let last = after.store.oplog.last ?? .null
        #expect(try after.store.hashOfEverything() == states[last], "at \(last), \(comment)")
        #expect(try after.store.checkConsistency().isEmpty, comment)
        #expect(after.versions.lastOptime <= last, comment)
    }

    @Test("a primary's log and data agree, wherever its engine fails, also in a rollback", arguments: [true, false])
    func primary(keepsLog: Bool) async throws {
        let (states, common, _) = try await reference()
        for call in 1... {
            let disk = LastingStorage(keepsLog: keepsLog)
            let engine = FailingStorage(disk, failingAt: call)
            do {
                let node = try await Fixture(engine: engine)
                try work(node)
                try rollBack(node, to: common)
            } catch is StorageFailure {
            } catch is FailingStorage.Failure {
                // When it is opened, what it says comes as it is.
            }
            try await check(disk, states, "failing at call \(call)")
            if !engine.hasFailed { return #expect(call > 50) }
        }
    }

    @Test("a secondary's log and data agree, wherever its engine fails", arguments: [true, false])
    func secondary(keepsLog: Bool) async throws {
        let (states, _, entries) = try await reference()
        for call in 1... {
            let disk = LastingStorage(keepsLog: keepsLog)
            let engine = FailingStorage(disk, failingAt: call)
            do {
                let node = try await Fixture(engine: engine)
                try node.apply(entries)
            } catch is StorageFailure {
            } catch is FailingStorage.Failure {
                // When it is opened, what it says comes as it is.
            }
            try await check(disk, states, "failing at call \(call)")
            if !engine.hasFailed { return #expect(call > 30) }
        }
    }
}
