import BSON
import Core
import Data
import Query
import Testing

/// What sessions have written is forgotten after a time, by entries that secondaries apply.
@Suite("Expired sessions")
struct ExpiredSessionsTests {
    private static let threshold = WallTime(milliseconds: .max)

    private func rows(_ node: Fixture) -> Int { node.engine.statistics(CountingStorage.sessions).entries }

    private func reap(_ node: Fixture, before threshold: WallTime = Self.threshold) throws -> ExpiredSessions {
        let work = ExpiredSessions(node.store, lastWriteBefore: threshold)
        while case .yield = try work.run(node.context, until: Fixture.deadline) {}
        return work
    }

    /// A session of `statements` outcomes that all differ, so that each has a row.
    private func upserts(_ node: Fixture, _ statements: Int32, session: UInt8, number: Int64 = 1) throws {
        for statement in 0..<statements {
            let id = Int32(session) * 100_000 + statement
            let document: Document = ["q": ["_id": .int32(id)], "u": ["$inc": ["n": 1]], "upsert": true]
            let compiled = try document.withView { try UpdateStatement($0, context: node.context.query) }
            let operation = UpdateOperation(node.store, Fixture.orders, compiled, id: statement)
            while case .yield = try operation.run(
                try node.context(session: session, number: number), until: Fixture.deadline)
            {}
        }
    }

    @Test("sessions go with all their rows, at secondaries too, in entries of a bounded size each")
    func forgotten() async throws {
        let node = try await Fixture()
        try node.createCollection()
        for session in 1...5 as ClosedRange<UInt8> { try upserts(node, session == 3 ? 1000 : 2, session: session) }
        let before = rows(node)
        #expect(before > 1000)
        let written = try node.entries().count
        #expect(try reap(node).n == 5)
        #expect(rows(node) == 0)
        let entries = try node.entries().dropFirst(written)
        #expect(entries.count == 4 + (1000 + Limits.expiredSessionRowsPerBatch - 1) / Limits.expiredSessionRowsPerBatch)
        for entry in entries {
            #expect(entry["op"] == "d" && entry["ns"] == "config.transactions" && entry["ui"] == nil)
        }
        #expect(entries.last?["o"] == ["_id": .document(Fixture.lsid(5))])

        let secondary = try await Fixture()
        try secondary.apply(try node.entries())
        #expect(rows(secondary) == 0)
        // Nothing is left in memory either: the same number is a new one.
        try upserts(node, 2, session: 1)
        #expect(rows(node) == 1)
    }

    @Test("a session that has written since stays, whatever it has forgotten")
    func kept() async throws {
        let node = try await Fixture()
        try node.createCollection()
        try upserts(node, 200, session: 1)
        try upserts(node, 3, session: 2)
        let work = try reap(node, before: WallTime(milliseconds: node.runtime.wallClock.milliseconds))
        #expect(work.n == 0 && rows(node) == 203)
    }

    @Test("an entry that is older than the session's newest write forgets nothing")
    func olderEntry() async throws {
        let node = try await Fixture()
        try node.createCollection()
        try upserts(node, 3, session: 1)
        let written = try node.entries().count
        _ = try reap(node)
        let deletion = try #require(try node.entries().dropFirst(written).first)
        try upserts(node, 2, session: 1, number: 2)

        // A clone has the session's newest rows, and goes through the entries before them.
        let clone = try await Fixture()
        try clone.store.startInitialSync()
        _ = try node.store.readSessions(after: [], limit: 100, bytesMax: .max) {
            try clone.store.cloneSession(key: $0, record: $1)
        }
        #expect(rows(clone) == 1)
        try clone.apply([deletion], .initialSync)
        #expect(rows(clone) == 1)
    }

    @Test("rows whose record is gone go too")
    func orphans() async throws {
        let node = try await Fixture()
        try node.createCollection()
        try upserts(node, 200, session: 1)
        let clone = try await Fixture()
        try clone.store.startInitialSync()
        var isFirst = true
        _ = try node.store.readSessions(after: [], limit: 1000, bytesMax: .max) {
            if !isFirst { try clone.store.cloneSession(key: $0, record: $1) }
            isFirst = false
        }
        try clone.store.finishInitialSync(at: OpTime(term: 1, timestamp: Timestamp(seconds: 1, increment: 1)))
        #expect(rows(clone) == 199)
        _ = try reap(clone, before: WallTime(milliseconds: 0))
        #expect(rows(clone) == 0)
    }

    @Test("a rollback brings back what was forgotten")
    func rollback() async throws {
        let node = try await Fixture()
        try node.createCollection()
        try upserts(node, 300, session: 1)
        let point = try #require(node.store.oplog.last)
        let before = rows(node)
        _ = try reap(node)
        #expect(rows(node) == 0)
        while try !node.versions.undo(after: point, limit: 10) {}
        try node.store.oplog.truncate(after: point.timestamp)
        try node.store.load()
        #expect(rows(node) == before)
        let entries = try node.entries().count
        try upserts(node, 300, session: 1)
        #expect(try node.entries().count == entries)
    }

    @Test("a standalone forgets without entries")
    func standalone() async throws {
        let node = try await Fixture(isReplicated: false)
        try node.createCollection()
        try upserts(node, 100, session: 1)
        #expect(try reap(node).n == 1)
        #expect(rows(node) == 0)
    }
}
