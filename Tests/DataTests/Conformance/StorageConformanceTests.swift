import BSON
import Conformance
import Core
import MemoryStorage
import Testing

@Suite struct StorageConformanceTests {
    @Test("MemoryStorage keeps the storage contract", arguments: 1...3 as ClosedRange<UInt64>)
    func memory(seed: UInt64) async throws {
        try await StorageConformance(seed: seed) { MemoryStorage() }.run()
    }

    @Test("the suite also passes on an engine that is larger than memory", arguments: 1...3 as ClosedRange<UInt64>)
    func notResident(seed: UInt64) async throws {
        var engines: [NotResidentStorage] = []
        let suite = StorageConformance(seed: seed, steps: 1000) {
            let engine = NotResidentStorage(MemoryStorage(), seed: seed)
            engines.append(engine)
            return engine
        }
        try await suite.run()
        #expect(engines.reduce(0) { $0 + $1.refusals } > 100)
    }

    /// Breaks one promise of the contract.
    final class Broken: StorageEngine {
        enum Flaw: CaseIterable { case losesDeletes, ignoresDrops, skipsMarks, forgetsEmptyValues }
        let inner = MemoryStorage()
        let flaw: Flaw
        init(_ flaw: Flaw) { self.flaw = flaw }

        func open() async throws { try await inner.open() }
        func close() async { await inner.close() }
        var survivesRestart: Bool { false }
        func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead {
            let read = try inner.get(table, key)
            if flaw == .forgetsEmptyValues, case .found(let value) = read, value.isEmpty { return .absent }
            return read
        }
        func makeCursor(_ table: TableID) throws -> any StorageCursor { try inner.makeCursor(table) }
        func apply(_ batch: WriteBatch) throws {
            let changed = WriteBatch()
            batch.forEach {
                switch $0.kind {
                case .put: changed.put($0.table, key: $0.key, value: $0.value)
                case .delete: if flaw != .losesDeletes { changed.delete($0.table, key: $0.key) }
                case .dropTable: if flaw != .ignoresDrops { changed.dropTable($0.table) }
                }
            }
            try inner.apply(changed)
        }
        var appliedMark: UInt64 { flaw == .skipsMarks ? inner.appliedMark * 2 : inner.appliedMark }
        var durableMark: UInt64 { appliedMark }
        func flush(upTo mark: UInt64) async throws {}
        func checkpoint() async throws {}
        func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
        var statistics: Document { inner.statistics }
    }

    @Test("an engine that breaks a promise fails the suite", arguments: Broken.Flaw.allCases)
    func broken(flaw: Broken.Flaw) async {
        await #expect(throws: ConformanceViolation.self) {
            try await StorageConformance { Broken(flaw) }.run()
        }
    }

    @Test("a storage snapshot reads what was there when it was opened, and fails when the engine is closed")
    func snapshots() async throws {
        let engine = MemoryStorage()
        try await engine.open()
        let table = TableID(rawValue: 20)
        let batch = WriteBatch()
        [1].withUnsafeBytes { key in batch.put(table, key: key, value: key) }
        try engine.apply(batch)
        let snapshot = try engine.openSnapshot()
        try engine.apply(batch)
        batch.removeAll()
        batch.dropTable(table)
        try engine.apply(batch)
        let rows = RowBuffer(limit: 5)
        _ = try snapshot.read(table, from: .start, direction: .forward, into: rows)
        #expect(rows.count == 1)
        await engine.close()
        #expect(throws: ServerError.self) {
            _ = try snapshot.read(table, from: .start, direction: .forward, into: rows)
        }
        snapshot.close()
    }
}
