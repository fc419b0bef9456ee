import BSON
import Conformance
import Core
@testable import Data
import MemoryStorage
import Testing

@Suite struct VersionStoreTests {
    let table = TableID(rawValue: 20)

    func openStore(_ engine: any StorageEngine = LastingStorage(), historyBytesMax: Int = 1 << 20) async throws
        -> VersionStore
    {
        let store = VersionStore(engine: engine, keepsHistory: true, historyBytesMax: historyBytesMax)
        try await store.open()
        return store
    }

    @Test("a read at a time sees the value of that time, also of a key that was deleted since")
    func readsAtATime() async throws {
        let store = try await openStore()
        try store.write(table, [1, 0], [10], at: time(1))
        try store.write(table, [1, 0], [11], at: time(2))
        try store.write(table, [1, 0], nil, at: time(3))
        #expect(try await store.value(table, [1, 0], at: .at(.zero)) == nil)
        #expect(try await store.value(table, [1, 0], at: .at(time(1).timestamp)) == [10])
        #expect(try await store.value(table, [1, 0], at: .at(time(2).timestamp)) == [11])
        #expect(try await store.value(table, [1, 0], at: .at(time(3).timestamp)) == nil)
        #expect(try await store.value(table, [1, 0], at: .latest) == nil)
    }

    @Test("the commit point prunes undo and history, and a read before it fails with SnapshotTooOld")
    func commitPointPrunes() async throws {
        let store = try await openStore()
        for index in 1...100 { try store.write(table, [1, 0], [UInt8(index)], at: time(index)) }
        #expect(store.undoBytes > 0 && store.historyBytes > 0)
        let grown = store.historyBytes
        store.setCommitPoint(time(100))
        #expect(store.undoBytes == 0)
        #expect(store.historyBytes < grown)
        while try !store.pruneUndo(limit: 7) {}
        // Only the floor is left.
        #expect(store.engine.statistics(.undo).entries == 1)
        let error = await #expect(throws: ServerError.self) {
            try await store.value(table, [1, 0], at: .at(time(99).timestamp))
        }
        #expect(error?.code == .snapshotTooOld)
        #expect(throws: ServerError.self) { try store.openSnapshot(at: time(99).timestamp) }
    }

    @Test("steps prune the undo of what was committed in passing")
    func stepsPrune() async throws {
        let store = try await openStore()
        for index in 1...1000 {
            try store.write(table, [1, 0], [UInt8(index & 0xFF)], at: time(index))
            if index % 3 == 0 { store.setCommitPoint(time(index)) }
        }
        #expect(store.engine.statistics(.undo).entries < 20)
    }

    @Test("an open snapshot keeps its state readable when the commit point moves on")
    func snapshotHoldsHistory() async throws {
        let store = try await openStore()
        try store.write(table, [1, 0], [1], at: time(1))
        let token = try store.openSnapshot(at: time(1).timestamp)
        for index in 2...50 { try store.write(table, [1, 0], [UInt8(index)], at: time(index)) }
        store.setCommitPoint(time(50))
        #expect(try await store.value(table, [1, 0], at: .at(token.timestamp)) == [1])
        store.closeSnapshot(token)
        store.closeSnapshot(token)
        try store.write(table, [1, 0], [51], at: time(51))
        #expect(store.oldestReadable == time(50).timestamp)
    }

    @Test("history above its half drops what is older than a second; above its limit the oldest snapshot closes")
    func historyPressure() async throws {
        let store = try await openStore(historyBytesMax: 200_000)
        let value = [UInt8](repeating: 7, count: 1000)
        try store.write(table, [1, 0], value, at: time(1))
        let token = try store.openSnapshot(at: time(1).timestamp)
        var second: UInt32 = 100
        while store.historyPressure == .none {
            second += 1
            try store.write(table, [1, 0], value, at: time(1, second: second))
        }
        #expect(store.historyPressure == .half)
        #expect(store.isSnapshotOpen(token))
        while store.isSnapshotOpen(token) {
            second += 1
            try store.write(table, [1, 0], value, at: time(1, second: second))
            #expect(store.historyBytes < 210_000)
        }
        for _ in 0..<300 {
            second += 1
            try store.write(table, [1, 0], value, at: time(1, second: second))
        }
        #expect(store.historyBytes < 110_000)
        // Everything can still be undone.
        while try !store.undo(after: .null, limit: 50) {}
        #expect(try await store.value(table, [1, 0], at: .latest) == nil)
        // All within one second: nothing can go, and writers must wait.
        for index in 1...300 { try store.write(table, [1, 0], value, at: time(index, second: 9000)) }
        #expect(store.historyPressure == .full)
    }

    @Test("a step that throws leaves nothing, and one that has ended takes no writes")
    func aborts() async throws {
        struct Failure: Error {}
        let store = try await openStore()
        #expect(throws: Failure.self) {
            try store.step(at: time(1)) { step in
                try step.put(table, .replicated, [1, 0], [1])
                throw Failure()
            }
        }
        #expect(store.openSteps.isEmpty)
        #expect(try await store.value(table, [1, 0], at: .latest) == nil)
        let step = store.begin()
        store.abort(step)
        #expect(throws: InvariantViolation.self) { try step.put(table, .replicated, [1, 0], [1]) }
        #expect(throws: InvariantViolation.self) { try store.commit(step, at: nil) }
    }

    @Test("what a step writes is seen by nobody else until it is committed")
    func isolation() async throws {
        let store = try await openStore()
        try store.write(table, [1, 0], [1], at: time(1))
        let step = store.begin()
        try step.put(table, .replicated, [1, 0], [2])
        try step.put(table, .replicated, [2, 0], [2])
        #expect(try await store.value(table, [1, 0], at: .latest) == [1])
        #expect(try await store.scan(table, from: nil, direction: .forward, at: .latest, limit: 9).count == 1)
        #expect(try await store.value(table, [1, 0], at: step.point) == [2])
        #expect(try await store.scan(table, from: nil, direction: .forward, at: step.point, limit: 9).count == 2)
        try store.commit(step, at: time(2))
        store.end(step)
        #expect(try await store.value(table, [2, 0], at: .latest) == [2])
    }

    @Test("of two open steps the first writer of a key keeps it, and both commit what is theirs, in any order")
    func twoOpenSteps() async throws {
        let store = try await openStore()
        let (first, second) = (store.begin(), store.begin())
        try first.put(table, .replicated, [1, 0], [1])
        try second.put(table, .replicated, [2, 0], [2])
        let conflict = #expect(throws: ServerError.self) { try second.put(table, .replicated, [1, 0], [2]) }
        #expect(conflict?.code == .writeConflict)
        #expect(throws: ServerError.self) { try first.delete(table, .replicated, [2, 0]) }
        try store.commit(second, at: time(1))
        store.end(second)
        // The other has ended: its key is free.
        try first.put(table, .replicated, [2, 0], [1])
        try store.commit(first, at: time(2))
        store.end(first)
        #expect(try await store.value(table, [2, 0], at: .latest) == [1])
        #expect(try await store.value(table, [2, 0], at: .at(time(1).timestamp)) == [2])
        #expect(try store.undo(after: time(1), limit: 10))
        #expect(try await store.value(table, [1, 0], at: .latest) == nil)
        #expect(try await store.value(table, [2, 0], at: .latest) == [2])
    }

    @Test("a step that is rewound is as it was at the mark, for its reads, its undo and its batch")
    func rewinds() async throws {
        let store = try await openStore()
        try store.write(table, [1, 0], [1], at: time(1))
        try store.write(table, [3, 0], [3], at: time(2))
        let step = store.begin()
        try step.put(table, .replicated, [1, 0], [11])
        let mark = step.mark
        try step.put(table, .replicated, [1, 0], [12])
        try step.put(table, .replicated, [2, 0], [12])
        try step.delete(table, .replicated, [3, 0])
        step.rewind(to: mark)
        #expect(try await store.value(table, [1, 0], at: step.point) == [11])
        #expect(try await store.value(table, [2, 0], at: step.point) == nil)
        #expect(try await store.value(table, [3, 0], at: step.point) == [3])
        try step.put(table, .replicated, [2, 0], [13])
        try store.commit(step, at: time(3))
        store.end(step)
        let rows = try await store.scan(table, from: nil, direction: .forward, at: .latest, limit: 9)
        #expect(rows.map(\.1) == [[11], [13], [3]])
        #expect(try store.undo(after: time(2), limit: 10))
        let undone = try await store.scan(table, from: nil, direction: .forward, at: .latest, limit: 9)
        #expect(undone.map(\.1) == [[1], [3]])
    }

    @Test("replicated writes need an optime that rises and is above the commit point; local ones need none")
    func optimes() async throws {
        let store = try await openStore()
        try store.write(table, [1, 0], [1], at: time(5))
        #expect(throws: InvariantViolation.self) { try store.write(table, [1, 0], [1], at: time(4)) }
        store.setCommitPoint(time(5))
        #expect(throws: InvariantViolation.self) { try store.write(table, [1, 0], [2], at: time(5)) }
        #expect(throws: InvariantViolation.self) {
            try store.step(at: nil) { try $0.put(table, .replicated, [2, 0], [1]) }
        }
        try store.step(at: nil) { try $0.put(table, .local, [3, 0], [1]) }
        #expect(try await store.value(table, [3, 0], at: .latest) == [1])
    }

    @Test("a commit point ahead of the data takes effect as steps reach it")
    func commitPointAhead() async throws {
        let store = try await openStore()
        try store.write(table, [1, 0], [1], at: time(1))
        store.setCommitPoint(time(3))
        #expect(store.commitPoint == time(1) && store.oldestReadable == time(1).timestamp)
        try store.write(table, [1, 0], [2], at: time(2))
        #expect(store.commitPoint == time(2) && store.undoBytes == 0)
        try store.write(table, [1, 0], [5], at: time(5))
        #expect(store.commitPoint == time(3) && store.undoBytes > 0)
        #expect(try store.undo(after: time(3), limit: 10))
        #expect(try await store.value(table, [1, 0], at: .latest) == [2])
    }

    @Test("undo below the commit point is refused")
    func undoBelowCommitPoint() async throws {
        let store = try await openStore()
        for index in 1...5 { try store.write(table, [1, 0], [UInt8(index)], at: time(index)) }
        store.setCommitPoint(time(3))
        #expect(throws: InvariantViolation.self) { try store.undo(after: time(2), limit: 10) }
        #expect(try store.undo(after: time(3), limit: 10))
        #expect(try await store.value(table, [1, 0], at: .latest) == [3])
    }

    @Test("local tables are not undone")
    func localIsNotUndone() async throws {
        let store = try await openStore()
        let votes = TableID(rawValue: 30)
        try store.step(at: time(1)) { step in
            try step.put(votes, .local, [1], [9])
            try step.put(table, .replicated, [1, 0], [9])
        }
        #expect(try store.undo(after: .null, limit: 10))
        #expect(try await store.value(votes, [1], at: .latest) == [9])
        #expect(try await store.value(table, [1, 0], at: .latest) == nil)
    }

    @Test("a standalone keeps neither undo nor history")
    func standalone() async throws {
        let store = VersionStore(engine: MemoryStorage(), keepsHistory: false)
        try await store.open()
        try store.step(at: nil) { try $0.put(table, .replicated, [1, 0], [1]) }
        #expect(store.undoBytes == 0 && store.historyBytes == 0)
        #expect(store.engine.statistics(.undo).entries == 0)
    }

    @Test("history that is switched on begins at the given optime, also after a restart")
    func switchedOn() async throws {
        let engine = LastingStorage()
        let store = VersionStore(engine: engine, keepsHistory: false)
        try await store.open()
        try store.step(at: nil) { try $0.put(table, .replicated, [1, 0], [1]) }
        try store.setKeepsHistory(true, since: time(10))
        #expect(store.oldestReadable == time(10).timestamp)
        try store.write(table, [1, 0], [2], at: time(11))
        let again = try await openStore(engine)
        #expect(again.oldestReadable == time(10).timestamp)
        // There is no way back beyond it, but no majority has said that it has it.
        #expect(again.commitPoint == time(10))
        #expect(again.committed == .null)
        #expect(try await again.value(table, [1, 0], at: .at(time(10).timestamp)) == [1])
    }

    @Test("a table that a step drops is empty to the step, and what it puts behind the drop stays")
    func dropInAStep() async throws {
        let store = try await openStore()
        try store.step(at: nil) { step in
            try step.put(table, .local, [1, 0], [1])
            try step.put(table, .local, [2, 0], [2])
        }
        let step = store.begin()
        try step.put(table, .local, [3, 0], [3])
        step.dropTable(table)
        try step.put(table, .local, [4, 0], [4])
        #expect(try await store.value(table, [1, 0], at: step.point) == nil)
        #expect(try await store.value(table, [3, 0], at: step.point) == nil)
        for direction in [ScanDirection.forward, .backward] {
            let rows = try await store.scan(table, from: nil, direction: direction, at: step.point, limit: 9)
            #expect(rows.map(\.0) == [[4, 0]])
        }
        try store.commit(step, at: nil)
        store.end(step)
        let rows = try await store.scan(table, from: nil, direction: .forward, at: .latest, limit: 9)
        #expect(rows.map(\.0) == [[4, 0]])
    }

    @Test("a value that was read in a step may be written again while the batch grows")
    func valueOutOfTheBatch() async throws {
        let store = try await openStore()
        let step = store.begin()
        let long = [UInt8](repeating: 5, count: 700)
        try step.put(table, .replicated, [1, 0], long)
        for index in 2...20 as ClosedRange<UInt8> {
            let first: [UInt8] = [1, 0]
            let next = [index, 0]
            try first.withUnsafeBytes { key in
                guard case .found(let value) = try store.get(table, key, at: step.point) else {
                    Issue.record("the step does not see its write")
                    return
                }
                try next.withUnsafeBytes { try step.put(table, .replicated, key: $0, value: value) }
            }
        }
        try store.commit(step, at: time(1))
        store.end(step)
        #expect(try await store.value(table, [20, 0], at: .latest) == long)
    }

    @Test("a failing engine never leaves half a step, wherever it fails")
    func failingEngine() async throws {
        for call in 1...200 {
            let lasting = LastingStorage()
            let engine = FailingStorage(lasting, failingAt: call)
            let store = VersionStore(engine: engine, keepsHistory: true)
            var committed = 0
            do {
                try await store.open()
                for index in 1...10 {
                    try store.step(at: time(index)) { step in
                        try step.put(table, .replicated, [1, 0], [UInt8(index)])
                        try step.put(table, .replicated, [2, 0], [UInt8(index)])
                    }
                    committed = index
                }
                _ = try store.undo(after: time(5), limit: 100)
                committed = 5
            } catch let failure as StorageFailure {
                #expect(failure.cause is FailingStorage.Failure)
            } catch is FailingStorage.Failure {
                // When it is opened, what it says comes as it is.
            }
            try await lasting.open()
            let after = try await openStore(lasting)
            let expected: [UInt8]? = committed == 0 ? nil : [UInt8(committed)]
            #expect(try await after.value(table, [1, 0], at: .latest) == expected, "failing at call \(call)")
            #expect(try await after.value(table, [2, 0], at: .latest) == expected, "failing at call \(call)")
            if !engine.hasFailed { return }
        }
        Issue.record("200 calls were not enough")
    }
}
