import BSON
import Core
import Testing

@Suite("The database profiler")
struct ProfilerTests {
    let harness: NodeHarness

    init() throws {
        harness = try NodeHarness()
        let documents: [Value] = (0..<20).map { ["_id": .int32($0), "a": .int32($0 % 5)] }
        #expect(try run(["insert": "c", "documents": .array(documents)]).isOK)
        #expect(try run(["createIndexes": "c", "indexes": [["key": ["a": 1], "name": "a_1"]]]).isOK)
    }

    private func run(_ command: Document, _ database: String = "shop") throws -> Document {
        try harness.run(command, database: database)
    }

    private func entries(_ filter: Document = Document(), _ database: String = "shop") throws -> [Document] {
        let reply = try run(
            ["find": "system.profile", "filter": .document(filter), "batchSize": 100_000], database)
        return reply.batch.filter { $0["ns"]?.asString != "\(database).system.profile" }
    }

    private func last() throws -> Document { try #require(try entries().last) }

    @Test("profile answers what was, and sets level, slowms and sampleRate")
    func settings() throws {
        let first = try run(["profile": -1])
        #expect(first["was"]?.asInteger == 0)
        #expect(first["slowms"]?.asInteger == 100)
        #expect(first["sampleRate"]?.asNumber == 1)
        #expect(try run(["profile": 1, "slowms": 7, "sampleRate": 0.5])["was"]?.asInteger == 0)
        let second = try run(["profile": -1])
        #expect(second["was"]?.asInteger == 1)
        #expect(second["slowms"]?.asInteger == 7)
        #expect(second["sampleRate"]?.asNumber == 0.5)
        // The level is the database's, the rest is the node's.
        let other = try run(["profile": -1], "other")
        #expect(other["was"]?.asInteger == 0)
        #expect(other["slowms"]?.asInteger == 7)
    }

    @Test(
        "wrong settings are refused and change nothing",
        arguments: [
            (["profile": 3], 2), (["profile": -2], 2), (["profile": "on"], 14), (["profile": 1.5], 14),
            (["profile": 2, "sampleRate": 1.1], 2), (["profile": 2, "sampleRate": -0.1], 2),
            (["profile": 2, "sampleRate": "all"], 14), (["profile": 2, "slowms": "soon"], 14),
            (["profile": 2, "filter": ["op": "query"]], 115),
        ] as [(Document, Int64)])
    func refusals(command: Document, code: Int64) throws {
        #expect(try run(command).code == code)
        #expect(try run(["profile": -1])["was"]?.asInteger == 0)
        #expect(try entries().isEmpty)
    }

    @Test("level 2 notes each operation once, with what it read and by which plan")
    func operations() throws {
        #expect(try run(["profile": 2]).isOK)
        _ = try run(["find": "c", "filter": ["_id": 3]])
        var entry = try last()
        #expect(entry["op"]?.asString == "query")
        #expect(entry["ns"]?.asString == "shop.c")
        #expect(entry["command"]?.asDocument?["filter"]?.asDocument?["_id"]?.asInteger == 3)
        #expect(entry["planSummary"]?.asString == "IDHACK")
        #expect(entry["keysExamined"]?.asInteger == 1)
        #expect(entry["docsExamined"]?.asInteger == 1)
        #expect(entry["nreturned"]?.asInteger == 1)
        #expect(try #require(entry["responseLength"]?.asInteger) > 60)
        #expect(entry["protocol"]?.asString == "op_msg")
        #expect(entry["user"]?.asString == "")
        guard case .dateTime? = entry["ts"] else { throw ServerError(.internalError, "no ts in \(entry)") }
        #expect(entry["millis"]?.asInteger == 0)
        _ = try run(["find": "c", "filter": ["a": 2]])
        entry = try last()
        #expect(entry["planSummary"]?.asString == "IXSCAN { a: 1 }")
        #expect(entry["keysExamined"]?.asInteger == 4)
        #expect(entry["nreturned"]?.asInteger == 4)
        _ = try run(["find": "c", "filter": ["b": 2]])
        entry = try last()
        #expect(entry["planSummary"]?.asString == "COLLSCAN")
        #expect(entry["docsExamined"]?.asInteger == 20)
        #expect(entry["nreturned"]?.asInteger == 0)
        _ = try run(["insert": "c", "documents": [["_id": 100], ["_id": 101]]])
        entry = try last()
        #expect(entry["op"]?.asString == "insert")
        #expect(entry["ninserted"]?.asInteger == 2)
        _ = try run(["count": "c", "query": ["a": 1]])
        entry = try last()
        #expect(entry["op"]?.asString == "command")
        #expect(entry["ns"]?.asString == "shop.c")
        #expect(entry["command"]?.asDocument?["count"]?.asString == "c")
        _ = try run(["ping": 1])
        #expect(try last()["ns"]?.asString == "shop.$cmd")
        #expect(try entries().count == 6)
        #expect(try entries([:], "other").isEmpty)
    }

    @Test("each statement of an update or a delete has an entry")
    func statements() throws {
        #expect(try run(["profile": 2]).isOK)
        _ = try run([
            "update": "c",
            "updates": [
                ["q": ["_id": 1], "u": ["$set": ["x": 1]]], ["q": ["a": 2], "u": ["$set": ["x": 1]], "multi": true],
                ["q": ["_id": 500], "u": ["$set": ["x": 1]], "upsert": true],
            ],
        ])
        let updates = try entries(["op": "update"])
        #expect(updates.map { $0["nMatched"]?.asInteger } == [1, 4, 0])
        #expect(updates.map { $0["nModified"]?.asInteger } == [1, 4, 0])
        #expect(updates.map { $0["upsert"]?.asBool } == [nil, nil, true])
        #expect(updates.map { $0["planSummary"]?.asString } == ["IDHACK", "IXSCAN { a: 1 }", "IDHACK"])
        #expect(updates.map { $0["keysExamined"]?.asInteger } == [1, 4, 0])
        #expect(updates[1]["command"]?.asDocument?["q"]?.asDocument?["a"]?.asInteger == 2)
        #expect(updates.allSatisfy { $0["ns"]?.asString == "shop.c" })
        _ = try run(["delete": "c", "deletes": [["q": ["_id": 500], "limit": 1], ["q": ["a": 2], "limit": 0]]])
        let removes = try entries(["op": "remove"])
        #expect(removes.map { $0["ndeleted"]?.asInteger } == [1, 4])
        #expect(try entries().count == 5)
    }

    @Test("later batches are getmores with the command and plan that began them")
    func cursors() throws {
        #expect(try run(["profile": 2]).isOK)
        let first = try run(["find": "c", "filter": ["a": ["$gte": 0]], "batchSize": 5])
        let cursor = try #require(first.cursorID)
        _ = try run(["getMore": .int64(cursor), "collection": "c"])
        let found = try entries()
        #expect(found.map { $0["op"]?.asString } == ["query", "getmore"])
        #expect(found.map { $0["cursorid"]?.asInteger } == [cursor, cursor])
        #expect(found.map { $0["nreturned"]?.asInteger } == [5, 15])
        #expect(found[1]["cursorExhausted"]?.asBool == true)
        #expect(found[1]["planSummary"]?.asString == "IXSCAN { a: 1 }")
        #expect(found[1]["originatingCommand"]?.asDocument?["find"]?.asString == "c")
    }

    @Test("a command that fails is noted with its error")
    func failures() throws {
        #expect(try run(["profile": 2]).isOK)
        #expect(try run(["find": "c", "filter": ["$nonsense": 1]]).code == 2)
        let entry = try last()
        #expect(entry["ok"]?.asNumber == 0)
        #expect(entry["errCode"]?.asInteger == 2)
        #expect(entry["errName"]?.asString == "BadValue")
        #expect(try #require(entry["errMsg"]?.asString).contains("$nonsense"))
    }

    @Test("reads of system.profile are noted, writing to it is not")
    func noRecursion() throws {
        #expect(try run(["profile": 2]).isOK)
        for _ in 0..<3 { _ = try run(["find": "system.profile"]) }
        let all = try run(["find": "system.profile", "batchSize": 1000]).batch
        #expect(all.count == 3)
        #expect(all.allSatisfy { $0["op"]?.asString == "query" && $0["ns"]?.asString == "shop.system.profile" })
    }

    @Test("a command too large to keep is shown cut off")
    func truncation() throws {
        #expect(try run(["profile": 2]).isOK)
        let many: [Value] = (0..<20_000).map { .int32($0) }
        _ = try run(["find": "c", "filter": ["_id": ["$in": .array(many)]], "comment": "big"])
        let command = try #require(try last()["command"]?.asDocument)
        #expect(command["$truncated"]?.asString != nil)
        #expect(command["comment"]?.asString == "big")
        #expect(command.byteCount < 60_000)
    }

    @Test("level 1 notes what is slow")
    func slow() throws {
        #expect(try run(["profile": 1, "slowms": 1000]).isOK)
        _ = try run(["find": "c"])
        #expect(try entries().isEmpty)
        #expect(try run(["profile": 1, "slowms": 0]).isOK)
        _ = try run(["find": "c"])
        #expect(try entries(["command.find": "c"]).count == 1)
        #expect(try run(["profile": 1, "slowms": 0, "sampleRate": 0]).isOK)
        _ = try run(["count": "c"])
        #expect(try entries(["command.count": "c"]).isEmpty)
    }

    @Test("only the profiler writes to system.profile, and it is dropped when that is off")
    func rules() throws {
        #expect(try run(["profile": 2]).isOK)
        #expect(try run(["insert": "system.profile", "documents": [["x": 1]]]).code == 73)
        #expect(
            try run(["update": "system.profile", "updates": [["q": [:], "u": ["$set": ["x": 1]]]]])["writeErrors"]
                != nil)
        #expect(try run(["delete": "system.profile", "deletes": [["q": [:], "limit": 0]]])["writeErrors"] != nil)
        #expect(try run(["drop": "system.profile"]).code == 20)
        let rename: Document = ["renameCollection": "shop.system.profile", "to": "shop.kept"]
        #expect(try run(rename, "admin").code == 20)
        #expect(try run(["profile": 0])["was"]?.asInteger == 2)
        #expect(try run(["drop": "system.profile"]).isOK)
        #expect(try entries().isEmpty)
        // Made by hand, it keeps the size it was given.
        #expect(try run(["create": "system.profile"]).code == 72)
        #expect(try run(["create": "system.profile", "capped": true, "size": 8192]).isOK)
        #expect(try run(["profile": 2]).isOK)
        for _ in 0..<100 { _ = try run(["find": "c"]) }
        let size = try #require(try run(["collStats": "system.profile"])["size"]?.asInteger)
        #expect(size <= 8192)
        #expect(size > 4096)
    }

    @Test("dropDatabase takes the entries along and switches the profiler off")
    func dropDatabase() throws {
        #expect(try run(["profile": 2]).isOK)
        _ = try run(["find": "c"])
        #expect(try run(["dropDatabase": 1]).isOK)
        #expect(try run(["profile": -1])["was"]?.asInteger == 0)
        #expect(try run(["listCollections": 1]).batch.isEmpty)
    }

    @Test("a system.profile of a megabyte holds the newest of many entries")
    func atSize() throws {
        #expect(try run(["profile": 2]).isOK)
        for number in Int32(0)..<5000 { _ = try run(["find": "c", "filter": ["_id": .int32(number)]]) }
        let found = try entries(["op": "query", "command.find": "c"])
        let ids = found.compactMap { $0["command"]?.asDocument?["filter"]?.asDocument?["_id"]?.asInteger }
        let first = try #require(ids.first)
        #expect(first > 0)
        #expect(ids == Array(first..<5000))
        let statistics = try run(["collStats": "system.profile"])
        #expect(try #require(statistics["size"]?.asInteger) <= 1024 * 1024)
        #expect(statistics["capped"]?.asBool == true)
    }
}
