import BSON
import Core
import Simulation
import Testing

/// `configureFailPoint` at one node: what fails, how often, and what the reply says.
@Suite struct FailPointInstanceTests {
    private func harness() throws -> NodeHarness { try NodeHarness(enableTestCommands: true) }

    private func set(_ harness: NodeHarness, _ name: String = "failCommand", mode: Value, _ data: Document) throws {
        let reply = try harness.run(
            ["configureFailPoint": .string(name), "mode": mode, "data": .document(data)], database: "admin")
        #expect(reply.isOK, "\(reply)")
    }

    @Test("without enableTestCommands there is no configureFailPoint")
    func notThere() throws {
        let harness = try NodeHarness()
        let reply = try harness.run(["configureFailPoint": "failCommand", "mode": "off"], database: "admin")
        #expect(reply["codeName"] == "CommandNotFound")
        #expect(
            try harness.run(["getParameter": 1, "enableTestCommands": 1], database: "admin")["enableTestCommands"]
                == false)
        let with = try self.harness().run(["getParameter": 1, "enableTestCommands": 1], database: "admin")
        #expect(with["enableTestCommands"] == true)
    }

    @Test("an unknown fail point is refused by name, with those that there are")
    func unknown() throws {
        let reply = try harness().run(["configureFailPoint": "hangAnalyze", "mode": "alwaysOn"], database: "admin")
        #expect(reply["codeName"] == "FailPointSetFailed")
        #expect(reply["errmsg"]?.asString?.contains("hangAnalyze") == true)
        #expect(reply["errmsg"]?.asString?.contains("failCommand") == true)
    }

    @Test(
        "what is not a mode or not data of a fail point is refused, and nothing fails afterwards",
        arguments: [
            ["mode": "sometimes"], ["mode": ["times": "x"]], ["mode": ["times": -1]], ["mode": ["often": 1]],
            ["mode": ["activationProbability": 1.5]], ["mode": 1], [:],
            ["mode": "alwaysOn", "data": ["failCommands": "ping"]],
            ["mode": "alwaysOn", "data": ["failCommands": ["ping"], "errorCode": "x"]],
            ["mode": "alwaysOn", "data": ["failCommands": ["ping"], "blockConnection": true]],
            ["mode": "alwaysOn", "data": ["failCommands": ["ping"], "fnid": 1]], ["mode": "alwaysOn", "data": 1],
        ] as [Document])
    func badInput(fields: Document) throws {
        let harness = try harness()
        var command: Document = ["configureFailPoint": "failCommand"]
        for (name, value) in fields.fields { command.append(name, value) }
        let reply = try harness.run(command, database: "admin")
        #expect(!reply.isOK && reply["errmsg"]?.asString?.isEmpty == false)
        #expect(try harness.run(["ping": 1]).isOK)
    }

    @Test("a mode counts the commands that are meant, and no others")
    func modes() throws {
        let harness = try harness()
        func pings(_ count: Int) throws -> [Bool] { try (0..<count).map { _ in try harness.run(["ping": 1]).isOK } }
        let data: Document = ["failCommands": ["ping"], "errorCode": 8]
        try set(harness, mode: ["times": 2], data)
        #expect(try harness.run(["count": "orders"]).isOK)
        #expect(try pings(4) == [false, false, true, true])
        try set(harness, mode: ["skip": 2], data)
        #expect(try pings(4) == [true, true, false, false])
        try set(harness, mode: "alwaysOn", data)
        #expect(try pings(2) == [false, false])
        let reply = try harness.run(["configureFailPoint": "failCommand", "mode": "off"], database: "admin")
        // Two, two and two have failed so far.
        #expect(reply["count"]?.asInteger == 6)
        #expect(try pings(2) == [true, true])
        try set(harness, mode: ["activationProbability": 0.5], data)
        let failures = try pings(200).count { !$0 }
        #expect((60..<140).contains(failures), "\(failures) of 200")
    }

    @Test("a command that fails has not run; the labels given replace those by rule")
    func errorCode() throws {
        let harness = try harness()
        let insert: Document = ["insert": "orders", "documents": [["_id": 1]]]
        try set(
            harness, mode: ["times": 1],
            ["failCommands": ["insert"], "errorCode": 10107, "errorLabels": ["TransientTransactionError"]])
        let reply = try harness.run(insert)
        #expect(reply.code == 10107)
        #expect(reply["codeName"] == "NotWritablePrimary")
        #expect(reply["errorLabels"] == ["TransientTransactionError"])
        // Nothing has changed at this node: a client must not take the error for old news.
        #expect(reply["topologyVersion"] == nil)
        #expect(try harness.run(["count": "orders"])["n"]?.asInteger == 0)
        #expect(try harness.run(insert)["n"]?.asInteger == 1)
    }

    @Test("a command with a write concern error has run, and its reply says both")
    func writeConcernError() throws {
        let harness = try harness()
        let error: Document = ["code": 91, "errmsg": "Replication is being shut down"]
        try set(
            harness, mode: ["times": 1],
            ["failCommands": ["insert"], "writeConcernError": .document(error), "errorLabels": ["RetryableWriteError"]])
        let reply = try harness.run(["insert": "orders", "documents": [["_id": 1]]])
        #expect(reply.isOK && reply["n"]?.asInteger == 1)
        #expect(reply["writeConcernError"] == .document(error))
        #expect(reply["errorLabels"] == ["RetryableWriteError"])
        #expect(try harness.run(["count": "orders"])["n"]?.asInteger == 1)
    }

    @Test("a blocked command takes as long as it was told to, or as its client allows")
    func blocking() throws {
        let harness = try harness()
        try set(
            harness, mode: ["times": 2], ["failCommands": ["ping"], "blockConnection": true, "blockTimeMS": 1500])
        let before = harness.world.now
        #expect(try harness.run(["ping": 1]).isOK)
        #expect(harness.world.now - before >= .milliseconds(1500))
        let second = harness.world.now
        #expect(try harness.run(["ping": 1, "maxTimeMS": 100])["codeName"] == "MaxTimeMSExpired")
        #expect(harness.world.now - second < .milliseconds(200))
    }

    @Test("a fail point for one collection or one application leaves the others alone")
    func filters() throws {
        let harness = try harness()
        try set(
            harness, mode: "alwaysOn", ["failCommands": ["find"], "errorCode": 8, "namespace": "shop.orders"])
        #expect(try !harness.run(["find": "orders"]).isOK)
        #expect(try harness.run(["find": "customers"]).isOK)
        #expect(try harness.run(["find": "orders"], database: "other").isOK)
        try set(harness, mode: "alwaysOn", ["failCommands": ["find"], "errorCode": 8, "appName": "fnid"])
        #expect(try harness.run(["find": "orders"]).isOK)
    }

    @Test("a getMore that fails behind its cursor takes the cursor with it")
    func getMore() throws {
        let harness = try harness()
        let documents = (0..<4).map { Value.document(["_id": .int32($0)]) }
        _ = try harness.run(["insert": "orders", "documents": .array(documents)])
        let cursor = try #require(try harness.run(["find": "orders", "batchSize": 1]).cursorID)
        try set(harness, "failGetMoreAfterCursorCheckout", mode: ["times": 1], ["errorCode": 9001])
        #expect(try harness.run(["getMore": .int64(cursor), "collection": "orders"])["codeName"] == "SocketException")
        #expect(try harness.run(["getMore": .int64(cursor), "collection": "orders"])["codeName"] == "CursorNotFound")
    }
}
