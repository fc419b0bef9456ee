import BSON
import Core
import Sharding
import Testing

/// What a shard owns, now and in the past.
@Suite struct OwnershipTableTests {
    private typealias Sample = RoutingTableTests
    private let uuid = CollectionUUID(high: 1, low: 2)
    private let migration = MigrationID(CollectionUUID(high: 7, low: 7))
    private func at(_ seconds: UInt32) -> Timestamp { Timestamp(seconds: seconds, increment: 0) }
    private func range(_ from: Int, _ to: Int?) -> KeyRange {
        KeyRange(lower: from == 0 ? [] : Sample.key(from), upper: to.map(Sample.key))
    }
    private func table() -> OwnershipTable {
        OwnershipTable(uuid, Sample.version(1), owning: [range(0, 100)], from: at(10))
    }

    @Test("a range that moved is owned until the moment of its move, and what came from that on")
    func time() throws {
        var table = table()
        try table.giveUp(range(20, 40), validAfter: at(50), major: 2)
        try table.receive(range(200, nil), validAfter: at(60), major: 3)
        #expect(!table.owns(Sample.key(30)) && table.owns(Sample.key(19)) && table.owns(Sample.key(40)))
        #expect(table.owns(Sample.key(30), at: at(49)) && !table.owns(Sample.key(30), at: at(50)))
        #expect(!table.owns(Sample.key(300), at: at(59)) && table.owns(Sample.key(300), at: at(60)))
        #expect(!table.owns(Sample.key(30), at: at(9)))
        #expect(table.ranges(at: at(55)) == [range(0, 20), range(40, 100)])
        #expect(table.ranges(at: at(49)) == [range(0, 100)])
        #expect(table.version(at: at(9)) == nil)
        #expect(table.version(at: at(49))?.major == 1 && table.version(at: at(55))?.major == 2)
        #expect(table.version.major == 3)
        // It comes back: the time in between stays another's.
        try table.receive(range(20, 40), validAfter: at(70), major: 4)
        #expect(table.owns(Sample.key(30), at: at(70)) && !table.owns(Sample.key(30), at: at(69)))
        #expect(table.owns(Sample.key(30), at: at(20)))
        table.prune(before: at(65))
        #expect(table.former.isEmpty && table.version(at: at(66))?.major == 3 && table.version(at: at(40)) == nil)
    }

    @Test("writes of a closed range wait, reads when they are closed too, and an abort opens it")
    func closings() throws {
        var table = table()
        #expect(table.admitsWrite(Sample.key(30)) == .admitted)
        #expect(table.admitsWrite(Sample.key(300)) == .notOwned)
        try table.close(range(20, 40), for: migration, reads: false)
        #expect(table.admitsWrite(Sample.key(30)) == .closed(migration))
        #expect(table.admitsWrite(Sample.key(40)) == .admitted)
        #expect(table.migrationClosingReads(of: [.all]) == nil)
        try table.close(range(20, 40), for: migration, reads: true)
        #expect(table.migrationClosingReads(of: [range(35, 36)]) == migration)
        #expect(table.migrationClosingReads(of: [range(40, 50)]) == nil)
        #expect(table.closings.count == 1)
        table.reopen(migration)
        #expect(table.admitsWrite(Sample.key(30)) == .admitted)
        try table.close(range(20, 40), for: migration, reads: true)
        try table.giveUp(range(20, 40), validAfter: at(50), major: 2)
        #expect(table.closings.isEmpty)
    }

    @Test("a step that breaks ownership is an invariant violation")
    func invariants() {
        let other = MigrationID(CollectionUUID(high: 8, low: 8))
        let steps: [(inout OwnershipTable) throws -> Void] = [
            { try $0.giveUp(range(90, 110), validAfter: at(50), major: 2) },
            { try $0.receive(range(90, 110), validAfter: at(50), major: 2) },
            { try $0.receive(range(100, 110), validAfter: at(50), major: 1) },
            { try $0.receive(range(100, 110), validAfter: at(10), major: 2) },
            { try $0.close(range(90, 110), for: migration, reads: false) },
            {
                try $0.close(range(20, 30), for: migration, reads: false)
                try $0.close(range(25, 35), for: other, reads: false)
            },
        ]
        for (index, step) in steps.enumerated() {
            var table = table()
            #expect(throws: InvariantViolation.self, "step \(index)") { try step(&table) }
        }
    }

    @Test("a table is read as it was written, and a change writes few documents")
    func coding() throws {
        var table = OwnershipTable(
            uuid, Sample.version(1), owning: (0..<200).map { range($0 * 10 + 1, $0 * 10 + 9) }, from: at(10))
        #expect(try OwnershipTable(table.documents.reversed()) == table)
        let before = table
        try table.close(range(11, 14), for: migration, reads: true)
        #expect(try OwnershipTable(table.documents) == table)
        try table.giveUp(range(11, 14), validAfter: at(50), major: 2)
        #expect(try OwnershipTable(table.documents) == table)
        let changes = table.changes(from: before)
        #expect(changes.write.count + changes.delete.count <= 4)
        var stored = Dictionary(uniqueKeysWithValues: before.documents.map { ($0["_id"], $0) })
        for id in changes.delete { stored[id] = nil }
        for document in changes.write { stored[document["_id"]] = document }
        #expect(try OwnershipTable(Array(stored.values)) == table)
    }

    @Test("documents that are no table are refused, whatever is wrong with them")
    func malformed() throws {
        var table = table()
        try table.close(range(20, 40), for: migration, reads: true)
        try table.giveUp(range(50, 60), validAfter: at(50), major: 2)
        let documents = table.documents
        func refused(_ documents: [Document]) -> Bool {
            do {
                _ = try OwnershipTable(documents)
                return false
            } catch { return error.code == .failedToParse }
        }
        #expect(refused([]))
        #expect(refused(Array(documents.dropFirst())))
        #expect(refused(documents + [documents[0]]))
        #expect(refused(documents + [[:]]))
        let foreign = OwnershipTable(CollectionUUID(high: 3, low: 3), Sample.version(1), owning: [.all], from: at(1))
        #expect(refused(documents + [foreign.documents[1]]))
        // Every field of every document, missing or of another type; inside the `_id` too.
        let fillers: [Value] = [1, "x", .binary(subtype: 0, [1]), .bool(true), .null, [], .timestamp(.max), [:]]
        for (index, document) in documents.enumerated() {
            for key in document.keys where key != "_id" {
                for filler in [nil] + fillers.map({ Optional($0) }) {
                    var changed = documents
                    changed[index][key] = filler
                    _ = try? OwnershipTable(changed)
                }
            }
            for key in document["_id"]?.asDocument?.keys ?? [] {
                for filler in [nil] + fillers.map({ Optional($0) }) {
                    var changed = documents
                    var id = changed[index]["_id"]?.asDocument ?? Document()
                    id[key] = filler
                    changed[index]["_id"] = .document(id)
                    _ = try? OwnershipTable(changed)
                }
            }
            var without = documents
            without[index]["_id"] = nil
            #expect(refused(without))
        }
        var twice = documents
        twice.append(
            Document { writer in
                writer.append(
                    "_id",
                    Value.document([
                        "c": uuid.value, "k": "range", "min": .binary(subtype: 0, Sample.key(5)),
                        "from": .timestamp(at(10)),
                    ]))
                writer.append("max", .null)
                writer.append("until", .null)
            })
        #expect(refused(twice))
    }
}
