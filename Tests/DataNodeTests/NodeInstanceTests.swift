import BSON
import Testing

/// What one node answers.
@Suite struct NodeInstanceTests {
    @Test("an unknown command is refused by name, with MongoDB's code")
    func unknownCommand() throws {
        let reply = try NodeHarness().run(["fnid": "orders"])
        #expect(!reply.isOK)
        #expect(reply.code == 59)
        #expect(reply["codeName"] == "CommandNotFound")
        #expect(reply["errmsg"]?.asString?.contains("fnid") == true)
    }

    @Test("a standalone says that it takes writes and belongs to no set")
    func helloOfStandalone() throws {
        let hello = try NodeHarness().run(["hello": 1], database: "admin")
        #expect(hello["isWritablePrimary"] == true)
        #expect(hello["setName"] == nil)
        #expect(hello["maxWireVersion"]?.asInteger == 25)
        #expect(hello["maxBsonObjectSize"]?.asInteger == 16_777_216)
    }

    @Test("what belongs to replica sets is refused by a standalone")
    func noReplication() throws {
        let reply = try NodeHarness().run(["replSetGetStatus": 1], database: "admin")
        #expect(!reply.isOK)
        #expect(reply["codeName"] == "NoReplicationEnabled")
    }

    @Test("a member without a configuration takes no writes and says what it lacks")
    func uninitiated() throws {
        let harness = try NodeHarness(setName: "rs0")
        let hello = try harness.run(["hello": 1], database: "admin")
        #expect(hello["isWritablePrimary"] == false)
        #expect(hello["isreplicaset"] == true)
        #expect(try harness.run(["replSetGetStatus": 1], database: "admin")["codeName"] == "NotYetInitialized")
        let reply = try harness.run(["insert": "orders", "documents": [["_id": 1]]])
        #expect(reply.code == 10107)
    }

    @Test("documents come in batches of the size asked for until the cursor is used up")
    func batches() throws {
        let harness = try NodeHarness()
        let documents = (0..<10).map { Value.document(["_id": .int32($0)]) }
        #expect(try harness.run(["insert": "orders", "documents": .array(documents)])["n"]?.asInteger == 10)
        var reply = try harness.run(["find": "orders", "batchSize": 4])
        var ids = reply.batch.compactMap { $0["_id"]?.asInteger }
        #expect(ids.count == 4)
        while let cursor = reply.cursorID, cursor != 0 {
            reply = try harness.run(["getMore": .int64(cursor), "collection": "orders", "batchSize": 4])
            #expect(reply.isOK && reply.batch.count <= 4)
            ids += reply.batch.compactMap { $0["_id"]?.asInteger }
        }
        #expect(ids == Array(0..<10))
    }

    @Test("a cursor that was killed, or never was, is not found")
    func killedCursor() throws {
        let harness = try NodeHarness()
        let documents = (0..<10).map { Value.document(["_id": .int32($0)]) }
        _ = try harness.run(["insert": "orders", "documents": .array(documents)])
        let cursor = try #require(try harness.run(["find": "orders", "batchSize": 1]).cursorID)
        #expect(cursor != 0)
        let killed = try harness.run(["killCursors": "orders", "cursors": [.int64(cursor)]])
        #expect(killed["cursorsKilled"] == [.int64(cursor)])
        #expect(try harness.run(["getMore": .int64(cursor), "collection": "orders"])["codeName"] == "CursorNotFound")
    }

    @Test("ordered writes end at the first error, unordered ones do not", arguments: [true, false])
    func duplicates(isOrdered: Bool) throws {
        let reply = try NodeHarness().run([
            "insert": "orders", "documents": [["_id": 1], ["_id": 1], ["_id": 2]], "ordered": .bool(isOrdered),
        ])
        #expect(reply.isOK)
        #expect(reply["n"]?.asInteger == (isOrdered ? 1 : 2))
        let errors = (reply["writeErrors"]?.asArray ?? []).compactMap(\.asDocument)
        #expect(errors.map { $0["index"]?.asInteger } == [1])
        #expect(errors.first?["code"]?.asInteger == 11000)
    }

    @Test("no command is brought down by arguments of the wrong kind")
    func strangeArguments() throws {
        let harness = try NodeHarness()
        let listed = try harness.run(["listCommands": 1], database: "admin")
        let names = (listed["commands"]?.asDocument?.keys ?? []).filter { $0 != "shutdown" }
        #expect(names.count > 40)
        let strange: [Value] = [
            1, -1, 1.5, "orders", "", "a\0b", true, .null, [:], [1, "x"], ["a": ["b": 1]], .int64(.max), .int64(.min),
        ]
        for name in names {
            for (round, value) in strange.enumerated() {
                var command: Document = [:]
                command.append(name, value)
                // The fields that commands look at, each time with another wrong value.
                let fields = [
                    "documents", "filter", "updates", "deletes", "cursor", "pipeline", "limit", "indexes", "query",
                ]
                for (offset, field) in fields.enumerated() where (round + offset).isMultiple(of: 3) {
                    command.append(field, strange[(round + offset * 5) % strange.count])
                }
                let reply = try harness.run(command, database: round.isMultiple(of: 2) ? "shop" : "admin")
                #expect(reply["ok"] != nil, "\(name) with \(value)")
                if !reply.isOK { #expect(reply["errmsg"]?.asString?.isEmpty == false, "\(name) with \(value)") }
            }
        }
        #expect(try harness.run(["ping": 1]).isOK)
    }
}
