import BSON
import Core
import ElectionPolicies
import Testing

@testable import Simulation

/// What a primary does with writes that no majority takes.
struct FlowControlTests {
    @Test("writers are slowed while the majority lags, then refused, and go on as before when it has caught up")
    func laggingMajority() throws {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: 3), policy: MongoDBElectionPolicy(), timing: .patient)
        try set.start(within: .seconds(60))
        let primary = try #require(set.primary)
        let filler = Value.string(String(repeating: "x", count: 1 << 20))
        func write(_ id: Int32) throws -> (reply: Document, took: Duration) {
            let before = set.world.now
            let reply = try primary.run(
                ["insert": "orders", "documents": [["_id": .int32(id), "filler": filler]], "writeConcern": ["w": 1]],
                in: "shop")
            return (reply, set.world.now - before)
        }
        func flowControl() throws -> Document {
            try #require(try primary.run(["serverStatus": 1])["flowControl"]?.asDocument)
        }
        #expect(try write(0).reply.isOK)
        #expect(try flowControl()["isLagged"] == false)
        set.isolate(primary)
        var fast = 0
        var slow = 0
        var refused: Document?
        for id: Int32 in 1...100 where refused == nil {
            let (reply, took) = try write(id)
            if reply.isOK {
                if took < .milliseconds(50) { fast += 1 } else { slow += 1 }
            } else {
                refused = reply
            }
        }
        #expect(refused?["codeName"] == "ExceededMemoryLimit", "\(String(describing: refused)), \(set.summary)")
        #expect((25...35).contains(fast) && (25...40).contains(slow), "\(fast) fast, \(slow) slow")
        let lagged = try flowControl()
        #expect(lagged["isLagged"] == true)
        #expect(lagged["isLaggedCount"]?.asInteger ?? 0 >= Int64(slow))
        set.heal()
        try set.run(until: { _ in primary.commitPoint == primary.lastApplied }, within: .seconds(60), "a majority")
        let (reply, took) = try write(1000)
        #expect(reply.isOK && took < .milliseconds(50), "\(took) \(reply) \(set.summary)")
        try set.runUntilConverged(within: .seconds(60))
    }

    // MARK: Long commands

    /// What a command writes, in documents; several times what the oplog has room for.
    private static let count = 400
    private static let oplogBytes = 64 * 1024

    /// Three members with a small oplog and documents whose update takes a kilobyte of it.
    private static func filled(seed: UInt64, timing: SimulatedReplicaSet.Timing = .init()) throws -> SimulatedReplicaSet
    {
        let set = SimulatedReplicaSet(
            SimulatedWorld(seed: seed), kinds: [.normal, .normal, .normal], policy: MongoDBElectionPolicy(),
            oplogBytesMax: oplogBytes, timing: timing)
        try set.start(within: .seconds(60))
        let primary = try #require(set.primary)
        for start in stride(from: 0, to: count, by: 100) {
            let documents = (start..<start + 100).map { Value.document(["_id": .int32(Int32($0)), "text": "short"]) }
            #expect(try primary.run(["insert": "things", "documents": .array(documents)]).isOK)
        }
        return set
    }

    private static let kilobyte = Value.string(String(repeating: "x", count: 1000))
    private static let updateAll: Document = [
        "update": "things",
        "updates": [["q": [:], "u": ["$set": ["text": kilobyte]], "multi": true]], "writeConcern": ["w": 1],
    ]

    /// Commands that write several times the oplog's size each.
    private static let longCommands: [(String, Document)] = [
        ("update", updateAll),
        (
            "updates by _id",
            [
                "update": "things", "writeConcern": ["w": 1],
                "updates": .array(
                    (0..<count).map {
                        ["q": ["_id": .int32(Int32($0))], "u": ["$set": ["text": kilobyte]]]
                    }),
            ]
        ),
        (
            "insert",
            [
                "insert": "more", "writeConcern": ["w": 1],
                "documents": .array((0..<count).map { ["_id": .int32(Int32($0)), "text": kilobyte] }),
            ]
        ),
        (
            "bulkWrite",
            [
                "bulkWrite": 1, "nsInfo": [["ns": "admin.more"]], "writeConcern": ["w": 1],
                "ops": .array(
                    (0..<count).map {
                        ["insert": 0, "document": ["_id": .int32(Int32($0)), "text": kilobyte]]
                    }),
            ]
        ),
        (
            "aggregate",
            [
                "aggregate": "things", "cursor": [:], "writeConcern": ["w": 1],
                "pipeline": [["$set": ["text": kilobyte]], ["$out": ["db": "test", "coll": "copy"]]],
            ]
        ),
    ]

    @Test(
        "one command that writes several times what the oplog holds waits for the majority on its way, and ends well",
        arguments: 0..<longCommands.count)
    func longCommand(number: Int) throws {
        let (name, command) = Self.longCommands[number]
        let set = try Self.filled(seed: 5)
        let primary = try #require(set.primary)
        let reply = try primary.run(command, within: .seconds(120))
        #expect(reply.isOK && reply["writeErrors"] == nil, "\(name): \(reply)")
        let done = reply["n"] ?? reply["nInserted"]
        #expect(done?.asInteger == Int64(Self.count) || name == "aggregate", "\(name): \(reply)")
        let flowControl = try primary.run(["serverStatus": 1])["flowControl"]?.asDocument
        #expect(flowControl?["isLaggedCount"]?.asInteger ?? 0 > 3, "\(name): \(String(describing: flowControl))")
        try set.runUntilConverged(within: .seconds(60))
    }

    @Test("a delete of more than the oplog holds waits for the majority on its way, and ends well")
    func longDelete() throws {
        let set = try Self.filled(seed: 6)
        let primary = try #require(set.primary)
        #expect(try primary.run(Self.updateAll, within: .seconds(120)).isOK)
        let reply = try primary.run(
            ["delete": "things", "deletes": [["q": [:], "limit": 0]], "writeConcern": ["w": 1]], within: .seconds(120))
        #expect(reply["n"]?.asInteger == Int64(Self.count), "\(reply)")
        try set.runUntilConverged(within: .seconds(60))
        #expect(try primary.documents("admin", "things").isEmpty)
    }

    @Test("while the commit point stands still one long command waits for a named time, then fills what room there is")
    func standstill() throws {
        let timing = SimulatedReplicaSet.Timing(heartbeatInterval: .milliseconds(200), electionTimeout: .seconds(600))
        let set = try Self.filled(seed: 7, timing: timing)
        let primary = try #require(set.primary)
        set.isolate(primary)
        let began = set.world.now
        let reply = try primary.run(Self.updateAll, within: .seconds(120))
        let took = set.world.now - began
        #expect(reply["codeName"] == "ExceededMemoryLimit", "\(reply)")
        let patience = Limits.flowControlStandstillMax
        #expect((patience...patience + .seconds(1)).contains(took), "\(took)")
        let written = try primary.documents("admin", "things").count { $0["text"] == Self.kilobyte }
        #expect(written * 1000 > Self.oplogBytes / 2, "\(written)")
        // Who comes later does not wait as long again.
        let again = set.world.now
        #expect(try primary.run(Self.updateAll, within: .seconds(120))["codeName"] == "ExceededMemoryLimit")
        #expect(set.world.now - again < .seconds(1))
        set.heal()
        try set.run(until: { _ in primary.commitPoint == primary.lastApplied }, within: .seconds(60), "a majority")
        #expect(try primary.run(Self.updateAll, within: .seconds(120))["n"]?.asInteger == Int64(Self.count))
        try set.runUntilConverged(within: .seconds(60))
    }

    @Test("a long command that waits for the majority heeds its time limit, and the end of its primary's term")
    func interrupted() throws {
        let timing = SimulatedReplicaSet.Timing(heartbeatInterval: .milliseconds(200), electionTimeout: .seconds(2))
        let set = try Self.filled(seed: 8, timing: timing)
        let primary = try #require(set.primary)
        set.isolate(primary)
        var limited = Self.updateAll
        limited["maxTimeMS"] = 500
        #expect(try primary.run(limited, within: .seconds(1))["codeName"] == "MaxTimeMSExpired")
        let began = set.world.now
        let reply = try primary.run(Self.updateAll, within: .seconds(60))
        #expect(reply["code"]?.asInteger == 10107, "\(reply)")
        #expect(set.world.now - began < .seconds(4), "\(set.world.now - began)")
        set.heal()
        try set.runUntilConverged(within: .seconds(60))
    }
}
