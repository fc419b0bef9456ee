import BSON
import Core
import Data
import MemoryStorage
import Query
import Testing

/// Commands of very many statements whose outcomes all differ: each upsert has an `_id` of its own to answer with.
@Suite("Retryable writes of many outcomes")
struct ManyOutcomesTests {
    private static let statements: Int32 = 20_000

    /// The upsert of `{_id: statement}`.
    @discardableResult
    private func upsert(_ node: Fixture, _ statement: Int32, number: Int64 = 1) throws -> UpdateOperation {
        let document: Document = [
            "q": ["_id": .int32(statement)], "u": ["$inc": ["n": 1]], "upsert": true,
        ]
        let compiled = try document.withView { try UpdateStatement($0, context: node.context.query) }
        let operation = UpdateOperation(node.store, Fixture.orders, compiled, id: statement)
        let context = try node.context(session: 1, number: number)
        while case .yield = try operation.run(context, until: Fixture.deadline) {}
        return operation
    }

    @Test("what a statement writes does not grow with the statements before it")
    func linear() async throws {
        let engine = CountingStorage()
        let node = try await Fixture(engine: engine)
        try node.createCollection()
        // What a start writes is not of a statement.
        engine.reset()
        var firstHalf = 0
        for statement in 0..<Self.statements {
            if statement == Self.statements / 2 { firstHalf = engine.bytes }
            try upsert(node, statement)
        }
        #expect(engine.largestBatch < 2_000, "one statement wrote \(engine.largestBatch) bytes")
        #expect((engine.bytes - firstHalf) * 10 < firstHalf * 11)
        // Document, _id, session and one more row.
        #expect(engine.operations < Int(Self.statements) * 10)
    }

    @Test("a retry answers every statement with its own outcome, also after a reload and on a secondary")
    func answers() async throws {
        let node = try await Fixture()
        try node.createCollection()
        for statement in 0..<Self.statements { try upsert(node, statement) }
        let secondary = try await Fixture()
        try secondary.apply(try node.entries())
        try node.store.load()
        for member in [node, secondary] {
            let entries = try member.entries().count
            for statement in 0..<Self.statements {
                let repeated = try upsert(member, statement)
                guard repeated.n == 1, repeated.upsertedID == .int32(statement) else {
                    Issue.record("statement \(statement) answered \(String(describing: repeated.upsertedID))")
                    return
                }
            }
            #expect(try member.entries().count == entries)
        }
    }

    @Test("statements in any order, with gaps between them, are executed once", arguments: 1...20)
    func anyOrder(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        let node = try await Fixture()
        try node.createCollection()
        var done: Set<Int32> = []
        let span = 5 + random.below(200)
        for _ in 0..<400 {
            let statement = Int32(random.below(span)) - 3
            // Updates of what is there have equal outcomes, and make runs; upserts do not.
            let isUpsert = statement % 7 == 0
            let document: Document = [
                "q": isUpsert ? ["_id": .int32(statement)] : ["k": 1], "u": ["$inc": ["n": 1]],
                "upsert": .bool(isUpsert),
            ]
            if done.isEmpty { try node.insertOne(["_id": "target", "k": 1, "n": 0]) }
            let compiled = try document.withView { try UpdateStatement($0, context: node.context.query) }
            let operation = UpdateOperation(node.store, Fixture.orders, compiled, id: statement)
            _ = try operation.run(try node.context(session: 1, number: 3), until: Fixture.deadline)
            #expect(operation.n == 1)
            #expect(operation.upsertedID == (isUpsert ? .int32(statement) : nil))
            done.insert(statement)
            if random.below(50) == 0 { try node.store.load() }
        }
        let target = try #require(try node.find(["filter": ["_id": "target"]]).first)
        #expect(target["n"] == .int32(Int32(done.filter { $0 % 7 != 0 }.count)))
        for id in done where id % 7 == 0 {
            #expect(try node.find(["filter": ["_id": .int32(id)]]).first?["n"] == 1)
        }
    }

    @Test("a newer transaction number takes the rows of older ones away, some with each statement")
    func staleRows() async throws {
        let engine = CountingStorage()
        let node = try await Fixture(engine: engine)
        try node.createCollection()
        for statement in 0..<1000 as Range<Int32> { try upsert(node, statement) }
        let most = engine.statistics(CountingStorage.sessions).entries
        #expect(most >= 1000)
        for number in 2..<200 as Range<Int64> { try upsert(node, Int32(number), number: number) }
        #expect(engine.statistics(CountingStorage.sessions).entries == 1)
        let late = #expect(throws: ServerError.self) { try upsert(node, 5, number: 1) }
        #expect(late?.code == .transactionTooOld)
    }

    @Test("a command of one statement writes one row of its session")
    func oneStatement() async throws {
        let engine = CountingStorage()
        let node = try await Fixture(engine: engine)
        try node.createCollection()
        let before = engine.sessionPuts
        for number in 1...10 as ClosedRange<Int64> { try upsert(node, Int32(number), number: number) }
        #expect(engine.sessionPuts - before == 10)
        #expect(engine.statistics(CountingStorage.sessions).entries == 1)
    }

    @Test("a rollback into the middle of a command leaves the statements before it executed, and no others")
    func rollback() async throws {
        let node = try await Fixture()
        try node.createCollection()
        for statement in 0..<300 as Range<Int32> { try upsert(node, statement) }
        let point = try #require(node.store.oplog.last)
        for statement in 300..<600 as Range<Int32> { try upsert(node, statement) }
        // And a newer number, which has begun to take away what comes back.
        for statement in 0..<5 as Range<Int32> { try upsert(node, statement + 1000, number: 2) }
        while try !node.versions.undo(after: point, limit: 10) {}
        try node.store.oplog.truncate(after: point.timestamp)
        try node.store.load()
        for statement in 0..<600 as Range<Int32> {
            #expect(try upsert(node, statement).upsertedID == .int32(statement))
        }
        #expect(try node.find().count == 600)
        #expect(try node.find(["filter": ["n": ["$gt": 1]]]).isEmpty)
    }

    @Test("an initial sync that clones sessions while they write answers for all statements")
    func clone() async throws {
        let source = try await Fixture()
        try source.createCollection()
        for statement in 0..<40 as Range<Int32> { try upsert(source, statement) }
        let begin = try source.entries().count
        let target = try await Fixture()
        try target.store.startInitialSync()
        let collection = try source.collection()
        let options: Document = [:]
        let cloned = try options.withView {
            try target.store.cloneCollection(Fixture.orders, uuid: collection.uuid, options: $0, indexes: [])
        }
        for document in try source.find() { try document.withView { try target.store.cloneDocument($0, into: cloned) } }
        var after: [UInt8]? = []
        var statement: Int32 = 40
        while let from = after {
            after = try source.store.readSessions(after: from, limit: 3, bytesMax: .max) {
                try target.store.cloneSession(key: $0, record: $1)
            }
            for _ in 0..<2 {
                try upsert(source, statement)
                statement += 1
            }
        }
        try target.apply(try source.entries().dropFirst(begin), .initialSync)
        try target.store.finishInitialSync(at: try #require(source.store.oplog.last))
        for done in 0..<statement { #expect(try upsert(target, done).upsertedID == .int32(done)) }
        #expect(try target.find().count == Int(statement))
        #expect(try target.find(["filter": ["n": ["$gt": 1]]]).isEmpty)
    }
}

/// An engine that counts what is written.
final class CountingStorage: StorageEngine {
    static let sessions = TableID(rawValue: 18)

    private let inner = MemoryStorage()
    private(set) var operations = 0
    private(set) var bytes = 0
    private(set) var largestBatch = 0
    private(set) var sessionPuts = 0

    /// Counts from here on.
    func reset() { (operations, bytes, largestBatch, sessionPuts) = (0, 0, 0, 0) }

    func apply(_ batch: WriteBatch) throws {
        operations += batch.count
        bytes += batch.byteCount
        largestBatch = max(largestBatch, batch.byteCount)
        batch.forEach { if $0.table == Self.sessions, $0.kind == .put { sessionPuts += 1 } }
        try inner.apply(batch)
    }

    func open() async throws { try await inner.open() }
    func close() async { await inner.close() }
    var survivesRestart: Bool { inner.survivesRestart }
    func get(_ table: TableID, _ key: UnsafeRawBufferPointer) throws -> StorageRead { try inner.get(table, key) }
    func makeCursor(_ table: TableID) throws -> any StorageCursor { try inner.makeCursor(table) }
    var appliedMark: UInt64 { inner.appliedMark }
    var durableMark: UInt64 { inner.durableMark }
    func flush(upTo mark: UInt64) async throws { try await inner.flush(upTo: mark) }
    func checkpoint() async throws { try await inner.checkpoint() }
    func statistics(_ table: TableID) -> StorageTableStatistics { inner.statistics(table) }
    var statistics: Document { inner.statistics }
}
