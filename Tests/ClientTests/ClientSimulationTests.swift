import BSON
import Core
import ReadSelectors
import Simulation
import Testing

@testable import Client

struct ClientSimulationTests {
    @Test("the client finds all members from one seed and writes to the primary")
    func discovery() throws {
        let harness = ClientHarness(seeds: ["c"])
        let id = try harness.run { try await harness.orders.insertOne(["item": "tea"]) }
        #expect(harness.client.topologyDescription.servers.map(\.type) == [.primary, .secondary, .secondary])
        #expect(harness.set.documents.map { $0["_id"] } == [id])
        let insert = try #require(harness.set.commands("insert").first)
        #expect(insert.member == "a")
        #expect(insert.command["$db"] == "shop")
        #expect(insert.command["txnNumber"]?.asInteger == 1)
        #expect(insert.command["lsid"]?.asDocument?["id"] != nil)
    }

    @Test("a cursor fetches its batches from the server that opened it, in one session")
    func cursor() throws {
        let harness = ClientHarness()
        let found = try harness.run {
            try await harness.orders.insertMany((0..<5).map { ["_id": .int32($0)] })
            let secondaries = harness.orders.with(readPreference: .secondary)
            var found: [Document] = []
            for try await document in try await secondaries.find() { found.append(document) }
            return found
        }
        #expect(found.map { $0["_id"]?.asInteger } == [0, 1, 2, 3, 4])
        let find = try #require(harness.set.commands("find").first)
        let more = try #require(harness.set.commands("getMore").first)
        #expect(find.member != "a")
        #expect(find.member == more.member)
        #expect(find.command["lsid"] == more.command["lsid"])
        #expect(find.command["$readPreference"]?.asDocument?["mode"] == "secondary")
    }

    @Test("a closed cursor is killed at its server")
    func killCursor() throws {
        let harness = ClientHarness()
        try harness.run {
            try await harness.orders.insertMany((0..<5).map { ["_id": .int32($0)] })
            let cursor = try await harness.orders.find()
            _ = try await cursor.next()
            await cursor.close()
        }
        #expect(harness.set.commands("killCursors").first?.command["cursors"]?.asArray == [.int64(77)])
    }

    @Test("a failover is followed at once when members stream their state")
    func failover() throws {
        let harness = ClientHarness()
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        let before = harness.world.now
        harness.set.elect("b")
        try harness.run { try await harness.orders.insertOne(["_id": 2]) }
        #expect(harness.world.now - before < .milliseconds(100))
        #expect(harness.set.commands("insert").last?.member == "b")
    }

    @Test("a failover is found by polling when members do not stream")
    func failoverPolling() throws {
        let harness = ClientHarness(configureSet: { set in set.members.forEach { $0.supportsStreaming = false } })
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        harness.set.elect("b")
        let before = harness.world.now
        try harness.run { try await harness.orders.insertOne(["_id": 2]) }
        #expect(harness.world.now - before < .seconds(2))
        #expect(harness.set.commands("insert").map(\.member) == ["a", "a", "b"])
        #expect(harness.set.documents.count == 2)
    }

    @Test("a write whose connection drops is sent again with the same number and happens once", arguments: UInt64(1)...5)
    func retryAfterDrop(seed: UInt64) throws {
        for reaction in [FakeSet.Reaction.drop, .carryOutAndDrop] {
            let harness = ClientHarness(seed: seed)
            var drops = 1
            harness.set.script = { _, command in
                guard command.keys.first == "insert", drops > 0 else { return .usual }
                drops -= 1
                return reaction
            }
            try harness.run { try await harness.orders.insertOne(["_id": 1]) }
            let inserts = harness.set.commands("insert")
            #expect(inserts.count == 2)
            #expect(inserts[0].command["txnNumber"] == inserts[1].command["txnNumber"])
            #expect(inserts[0].command["lsid"] == inserts[1].command["lsid"])
            #expect(harness.set.documents.count == 1)
        }
    }

    @Test("a write is retried once and no more")
    func retryOnce() throws {
        let harness = ClientHarness()
        harness.set.script = { _, command in command.keys.first == "insert" ? .drop : .usual }
        let error = try harness.failure(NetworkError.self) { try await harness.orders.insertOne(["_id": 1]) }
        #expect(error?.hasLabel("RetryableWriteError") == true)
        #expect(harness.set.commands("insert").count == 2)
    }

    @Test("an update of many, and any write with retries off, is not sent again")
    func notRetried() throws {
        let harness = ClientHarness()
        harness.set.script = { _, command in command.keys.first == "update" ? .drop : .usual }
        let error = try harness.failure(NetworkError.self) {
            try await harness.orders.updateMany([:], ["$set": ["a": 1]])
        }
        #expect(error != nil)
        #expect(harness.set.commands("update").count == 1)
        #expect(harness.set.commands("update")[0].command["txnNumber"] == nil)

        let off = ClientHarness(configure: { $0.retryWrites = false })
        off.set.script = { _, command in command.keys.first == "insert" ? .drop : .usual }
        #expect(try off.failure(NetworkError.self) { try await off.orders.insertOne(["_id": 1]) } != nil)
        #expect(off.set.commands("insert").count == 1)
    }

    @Test("a read that fails is retried on another member when there is one")
    func retryRead() throws {
        let harness = ClientHarness()
        var failed: String?
        harness.set.script = { member, command in
            guard command.keys.first == "find", failed == nil else { return .usual }
            failed = member
            return .reply(["ok": 0, "code": 91, "codeName": "ShutdownInProgress", "errmsg": "going"])
        }
        try harness.run { _ = try await harness.orders.with(readPreference: .secondary).findOne() }
        let finds = harness.set.commands("find")
        #expect(finds.count == 2)
        #expect(finds[0].member == failed)
        #expect(finds[1].member != failed)
    }

    @Test("an error that no retry helps is thrown as it came")
    func commandError() throws {
        let harness = ClientHarness()
        harness.set.script = { _, _ in .reply(["ok": 0, "code": 13, "codeName": "Unauthorized", "errmsg": "no"]) }
        let error = try harness.failure(CommandError.self) { _ = try await harness.orders.findOne() }
        #expect(error?.code == .unauthorized)
        #expect(harness.set.commands("find").count == 1)
    }

    @Test("a write concern error with the label is retried, without it is thrown")
    func writeConcernErrors() throws {
        let harness = ClientHarness()
        var times = 1
        harness.set.script = { _, _ in
            guard times > 0 else { return .usual }
            times -= 1
            return .reply([
                "ok": 1, "n": 1, "errorLabels": ["RetryableWriteError"],
                "writeConcernError": ["code": 91, "errmsg": "going"],
            ])
        }
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        #expect(harness.set.commands("insert").count == 2)
        harness.set.script = { _, _ in
            .reply(["ok": 1, "n": 1, "writeConcernError": ["code": 64, "errmsg": "late", "errInfo": ["wtimeout": true]]])
        }
        let error = try harness.failure(WriteConcernError.self) { try await harness.orders.insertOne(["_id": 2]) }
        #expect(error?.isTimeout == true)
    }

    @Test("a duplicate key has an error of its own; of many, the refused and those behind it are told")
    func duplicateKey() throws {
        let harness = ClientHarness()
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        let single = try harness.failure(DuplicateKeyError.self) { try await harness.orders.insertOne(["_id": 1]) }
        #expect(single?.keyValue == ["_id": 1])
        let many = try harness.failure(BulkWriteError.self) {
            try await harness.orders.insertMany([["_id": 0], ["_id": 1], ["_id": 2]])
        }
        #expect(many?.completedCount == 1)
        #expect(many?.writeErrors.map(\.index) == [1])
    }

    @Test("a causal session's reads wait for what it has seen, others do not")
    func causalConsistency() throws {
        let harness = ClientHarness()
        try harness.run {
            let session = harness.client.startSession()
            _ = try await harness.orders.findOne(session: session)
            try await harness.orders.insertOne(["_id": 1], session: session)
            let seen = session.operationTime
            _ = try await harness.orders.findOne(session: session)
            _ = try await harness.orders.findOne()
            let finds = harness.set.commands("find").map(\.command)
            #expect(finds[0]["readConcern"] == nil)
            #expect(finds[1]["readConcern"]?.asDocument?["afterClusterTime"]?.asTimestamp == seen)
            #expect(finds[1]["$clusterTime"]?.asDocument?["clusterTime"]?.asTimestamp == seen)
            #expect(finds[2]["readConcern"] == nil)
            #expect(finds[0]["lsid"] == finds[1]["lsid"])
            #expect(finds[1]["lsid"] != finds[2]["lsid"])
            session.end()
        }
    }

    @Test("one operation after another uses one session id, and closing ends it")
    func sessionReuse() throws {
        let harness = ClientHarness()
        try harness.run {
            for number in 0..<10 { try await harness.orders.insertOne(["_id": .int32(Int32(number))]) }
            await harness.client.close()
        }
        let inserts = harness.set.commands("insert").map(\.command)
        #expect(Set(inserts.map { $0["lsid"] }).count == 1)
        #expect(inserts.map { $0["txnNumber"]?.asInteger } == (1...10).map { Int64($0) })
        #expect(harness.set.commands("endSessions").first?.command["endSessions"]?.asArray == [inserts[0]["lsid"] ?? .null])
        try harness.world.run(for: .seconds(1))
        #expect(harness.set.members.allSatisfy { $0.openConnections == 0 })
        #expect(try harness.failure(ClientUsageError.self) { _ = try await harness.orders.findOne() } != nil)
    }

    @Test("no server in time: the error says what is known of each")
    func selectionTimeout() throws {
        let harness = ClientHarness(primary: nil)
        let before = harness.world.now
        let error = try harness.failure(ServerSelectionTimeout.self) { try await harness.orders.insertOne([:]) }
        let message = error?.message ?? ""
        #expect(message.hasPrefix("no server for writes within 5.0 seconds; a:27017 is RSSecondary"), "\(message)")
        #expect(harness.world.now - before >= .seconds(5))
    }

    @Test("a server that speaks only old wire versions is refused with its name")
    func wireVersion() throws {
        let harness = ClientHarness(configureSet: { set in set.members.forEach { $0.maxWireVersion = 6 } })
        let error = try harness.failure(ClientUsageError.self) { try await harness.orders.insertOne([:]) }
        #expect(error?.message.contains("speaks wire versions 0 to 6, this client 9 to 29") == true)
    }

    @Test("connections are bounded, operations beyond them wait their turn")
    func poolBound() throws {
        let harness = ClientHarness(configure: { $0.connectionsMax = 3 })
        var ended = 0
        for number in 0..<50 {
            harness.client.runtime.spawn("insert") {
                _ = try? await harness.orders.insertOne(["_id": .int32(Int32(number))])
                ended += 1
            }
        }
        try harness.world.run(until: { ended == 50 }, atMost: .seconds(10))
        #expect(harness.set.documents.count == 50)
        // Three of the pool, one of the monitor, one for round trips.
        #expect(harness.set["a"].openConnectionsMost <= 5)
    }

    @Test("an operation that waits too long for a connection is told so")
    func poolTimeout() throws {
        let harness = ClientHarness(configure: { $0.connectionsMax = 1 })
        harness.set.script = { _, command in command["filter"]?.asDocument?["slow"] != nil ? .silence : .usual }
        harness.client.runtime.spawn("slow") { _ = try? await harness.orders.findOne(["slow": 1]) }
        try harness.world.run(for: .seconds(1))
        let error = try harness.failure(NetworkError.self) { _ = try await harness.orders.findOne() }
        #expect(error?.message.contains("no connection became free in time") == true, "\(error?.message ?? "")")
    }

    @Test("a standalone server is used without sessions' numbers")
    func standalone() throws {
        let harness = ClientHarness(setName: nil, names: ["a"])
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        let insert = try #require(harness.set.commands("insert").first)
        #expect(insert.command["txnNumber"] == nil)
        #expect(insert.command["lsid"] != nil)
        #expect(insert.command["$clusterTime"] == nil)
    }

    @Test("an unacknowledged write returns at once and asks for no reply")
    func unacknowledged() throws {
        let harness = ClientHarness()
        try harness.run {
            try await harness.orders.with(writeConcern: .w(0)).insertOne(["_id": 1])
            try await harness.orders.insertOne(["_id": 2])
        }
        #expect(harness.set.documents.count == 2)
        #expect(harness.set.commands("insert")[0].command["lsid"] == nil)
    }

    @Test(
        "the client survives crashes, partitions and elections: every acknowledged insert is there, none twice",
        arguments: UInt64(1)...12)
    func faults(seed: UInt64) throws {
        let harness = ClientHarness(seed: seed, configure: {
            $0.serverSelectionTimeout = .seconds(20)
            $0.socketTimeout = .seconds(4)
        })
        harness.world.network.defaultLink.resetProbability = 0.01
        harness.world.network.defaultLink.tailProbability = 0.05
        var acknowledged: Set<Int32> = []
        var ended = 0
        for worker in Int32(0)..<4 {
            harness.client.runtime.spawn("worker") {
                for number in 0..<60 {
                    let id = worker * 1000 + Int32(number)
                    do {
                        try await harness.orders.insertOne(["_id": .int32(id)])
                        acknowledged.insert(id)
                    } catch {}
                    await harness.client.runtime.sleep(for: .milliseconds(100))
                }
                ended += 1
            }
        }
        try harness.world.run(for: .seconds(1))
        harness.set.elect("b")
        try harness.world.run(for: .milliseconds(500))
        harness.world.crash("b", connections: seed % 2 == 0 ? .reset : .halfOpen)
        try harness.world.run(for: .milliseconds(800))
        harness.set.elect("c")
        harness.world.network.partition([["client"], ["a"]])
        try harness.world.run(for: .seconds(2))
        harness.world.restart("b")
        harness.world.network.heal()
        harness.world.network.resetConnections(between: "client", and: "c")
        try harness.world.run(until: { ended == 4 }, atMost: .seconds(300), "the workers' end")
        let ids = harness.set.documents.compactMap { $0["_id"]?.asInteger }
        #expect(Set(ids).count == ids.count)
        #expect(acknowledged.allSatisfy { Set(ids).contains(Int64($0)) })
        #expect(acknowledged.count > 200)
    }

    @Test("a run with a client replays event by event")
    func replay() throws {
        for seed in UInt64(1)...4 {
            let difference = try TraceComparison.firstDifference { window in
                let world = SimulatedWorld(seed: seed, recording: window)
                let set = FakeSet(world: world)
                let runtime = world.addNode("client")
                let client = MongoClient(
                    runtime: runtime, transport: world.network.transport(for: runtime),
                    seeds: [Endpoint(host: "a", port: 27017)], setName: "rs0", selector: MongoDBReadSelector())
                for _ in 0..<3 {
                    runtime.spawn("worker") {
                        while true {
                            _ = try? await client["shop"]["orders"].insertOne([:])
                            _ = try? await client["shop"]["orders"].with(readPreference: .nearest).findOne()
                        }
                    }
                }
                try world.run(for: .milliseconds(200))
                set.elect("b")
                try world.run(for: .milliseconds(200))
                return world
            }
            #expect(difference == nil, "seed \(seed)")
        }
    }
}
