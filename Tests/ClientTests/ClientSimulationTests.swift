import BSON
import Core
import ReadSelectors
import Simulation
import Testing
import Wire

@testable import Client

/// Answers with a server that it was not offered.
private struct AlwaysPrimary: ReadSelector {
    static let name = "hostile"
    mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
        request.topology.primary?.address
    }
}

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

    @Test("operations are compressed as the client was told to, once the server has agreed", arguments: [true, false])
    func compression(serverAgrees: Bool) throws {
        let harness = ClientHarness(
            configureSet: { $0.compressors = serverAgrees ? [.zstd] : [] },
            configure: { $0.compressors = [.zstd, .snappy] })
        let long = String(repeating: "all work and no play ", count: 100)
        try harness.run { _ = try await harness.orders.insertOne(["text": .string(long)]) }
        #expect(harness.set.documents.map { $0["text"] } == [.string(long)])
        #expect(harness.set.compressedRequests == (serverAgrees ? 1 : 0))
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

    @Test("a stream of hellos goes on without further requests")
    func streaming() throws {
        let harness = ClientHarness()
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        try harness.world.run(for: .seconds(61))
        // The monitor's first and the one that waits, six for round trips, one for each pooled connection.
        #expect(harness.set["a"].helloCount == 9)
        #expect(harness.set["b"].helloCount == 8)
    }

    @Test("an operation on a host that has fallen silent ends when the monitor notices, and goes on elsewhere")
    func silentHost() throws {
        let harness = ClientHarness(configure: { $0.serverSelectionTimeout = .seconds(60) })
        try harness.run { try await harness.orders.insertOne(["_id": 1]) }
        let before = harness.world.now
        harness.world.crash("a", connections: .halfOpen)
        harness.set.elect("b")
        try harness.world.run(for: .milliseconds(50))
        try harness.run { try await harness.orders.insertOne(["_id": 2]) }
        #expect(harness.world.now - before < .seconds(1), "the new primary streams its election")
        harness.world.crash("b", connections: .halfOpen)
        // Nobody is elected for a while: the write goes to the silent primary and waits there.
        let start = harness.world.now
        harness.client.runtime.schedule(after: .seconds(25)) { harness.set.elect("c") }
        try harness.run { try await harness.orders.insertOne(["_id": 3]) }
        #expect(harness.world.now - start < .seconds(27))
        #expect(harness.set.documents.count == 3)
    }

    @Test("every selector serves reads, and one that breaks its contract cannot send a read where it may not go")
    func selectors() throws {
        let selectors: [any ReadSelector] = [MongoDBReadSelector(), NearestStrict(), LeastLag(), RoundRobin()]
        for selector in selectors {
            let harness = ClientHarness(selector: selector)
            try harness.run {
                for _ in 0..<6 { _ = try await harness.orders.with(readPreference: .secondary).findOne() }
            }
            #expect(harness.set.commands("find").count == 6)
            #expect(harness.set.commands("find").allSatisfy { $0.member != "a" })
        }
        let hostile = ClientHarness(selector: AlwaysPrimary())
        let error = try hostile.failure(ServerSelectionTimeout.self) {
            _ = try await hostile.orders.with(readPreference: .secondary).findOne()
        }
        #expect(error != nil)
        #expect(hostile.set.commands("find").isEmpty)
    }

    @Test("a client that is let go of closes its connections")
    func letGo() throws {
        let world = SimulatedWorld(seed: 1)
        let set = FakeSet(world: world)
        let runtime = world.addNode("client")
        var client: MongoClient? = MongoClient(
            runtime: runtime, transport: world.network.transport(for: runtime),
            seeds: [Endpoint(host: "a", port: 27017)], setName: "rs0", selector: RoundRobin())
        try world.run(for: .seconds(15))
        #expect(set["a"].openConnections == 2)
        #expect(client?.topologyDescription.servers.count == 3)
        client = nil
        try world.run(for: .seconds(1))
        #expect(set.members.allSatisfy { $0.openConnections == 0 })
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
        #expect(
            harness.set.commands("endSessions").first?.command["endSessions"]?.asArray == [inserts[0]["lsid"] ?? .null])
        try harness.world.run(for: .seconds(1))
        #expect(harness.set.members.allSatisfy { $0.openConnections == 0 })
        #expect(try harness.failure(ClientUsageError.self) { _ = try await harness.orders.findOne() } != nil)
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
        let harness = ClientHarness(
            seed: seed,
            configure: {
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
        for seed in UInt64(1)...2 {
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
                try world.run(for: .milliseconds(100))
                set.elect("b")
                try world.run(for: .milliseconds(100))
                return world
            }
            #expect(difference == nil, "seed \(seed)")
        }
    }
}
