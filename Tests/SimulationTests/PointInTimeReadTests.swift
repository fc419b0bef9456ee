import BSON
import Client
import Core
import DataNode
import Testing

@testable import Simulation

/// Reads that promise a point in time: linearizable, majority, snapshot.
struct PointInTimeReadTests {
    private static let nearest: Value = ["mode": "nearest"]

    private func makeSet(seed: UInt64) throws -> SimulatedReplicaSet {
        let set = SimulatedReplicaSet(SimulatedWorld(seed: seed))
        try set.start()
        return set
    }

    private func write(_ id: Int32, majority: Bool = true) -> Document {
        [
            "insert": "orders", "documents": [["_id": .int32(id)]],
            "writeConcern": majority ? ["w": "majority"] : ["w": 1],
        ]
    }

    private func read(_ concern: Document, timeLimit: Int32? = nil) -> Document {
        var command: Document = [
            "find": "orders", "sort": ["_id": 1], "readConcern": .document(concern), "$readPreference": Self.nearest,
        ]
        if let timeLimit { command.append("maxTimeMS", .int32(timeLimit)) }
        return command
    }

    private func ids(_ reply: Document) -> [Int64] { reply.batch.compactMap { $0["_id"]?.asInteger } }

    @Test("a linearizable read at an isolated primary fails, however long the client would wait", arguments: 1...6)
    func isolatedPrimary(seed: UInt64) throws {
        let set = try makeSet(seed: seed)
        let old = try #require(set.primary)
        #expect(try old.run(write(1), in: "shop").isOK)
        #expect(ids(try old.run(read(["level": "linearizable"]), in: "shop")) == [1])
        set.isolate(old)
        let limited = try old.run(read(["level": "linearizable"], timeLimit: 100), in: "shop")
        #expect(!limited.isOK)
        let reply = try old.run(read(["level": "linearizable"]), in: "shop")
        #expect(!reply.isOK, "\(reply)")
        #expect(reply["cursor"] == nil)
        // The others have gone on without it.
        let new = try set.runUntilPrimary(within: .seconds(5), otherThan: old)
        #expect(try new.run(write(2), in: "shop").isOK)
        #expect(try !old.run(read(["level": "linearizable"], timeLimit: 2000), in: "shop").isOK)
        #expect(ids(try new.run(read(["level": "linearizable"]), in: "shop")) == [1, 2])
    }

    @Test("later batches of a linearizable cursor are confirmed as the first is")
    func linearizableCursor() throws {
        let set = try makeSet(seed: 3)
        let old = try #require(set.primary)
        for id in Int32(1)...10 { #expect(try old.run(write(id), in: "shop").isOK) }
        func open() throws -> Int64 {
            let reply = try old.run(
                ["find": "orders", "batchSize": 2, "readConcern": ["level": "linearizable"]], in: "shop")
            return try #require(reply["cursor"]?.asDocument?["id"]?.asInteger)
        }
        let healthy = try old.run(["getMore": .int64(try open()), "collection": "orders"], in: "shop")
        #expect(healthy["cursor"]?.asDocument?["nextBatch"]?.asArray?.count == 8)
        let cursor = try open()
        set.isolate(old)
        let reply = try old.run(["getMore": .int64(cursor), "collection": "orders"], in: "shop")
        #expect(!reply.isOK && reply["cursor"] == nil, "\(reply)")
    }

    @Test("a linearizable cursor that waits for data does not wake itself by confirming nothing")
    func linearizableTail() throws {
        let set = try makeSet(seed: 7)
        let primary = try #require(set.primary)
        #expect(try primary.run(["create": "tail", "capped": true, "size": 4096], in: "shop").isOK)
        #expect(try primary.run(["insert": "tail", "documents": [["_id": 1]]], in: "shop").isOK)
        let opened = try primary.run(
            ["find": "tail", "tailable": true, "awaitData": true, "readConcern": ["level": "linearizable"]], in: "shop")
        let cursor = try #require(opened["cursor"]?.asDocument?["id"]?.asInteger)
        let before = primary.node?.oplogCount ?? 0
        let reply = try primary.run(
            ["getMore": .int64(cursor), "collection": "tail", "maxTimeMS": 1000], in: "shop")
        #expect(reply.isOK, "\(reply)")
        #expect((primary.node?.oplogCount ?? 0) - before <= 1)
    }

    @Test("a read waits on a secondary for a cluster time that its primary has not heard of")
    func futureClusterTime() throws {
        let set = try makeSet(seed: 4)
        #expect(try set.primary?.run(write(1), in: "shop").isOK == true)
        try set.runUntilConverged(within: .seconds(5))
        let secondary = try #require(set.secondaries.first)
        let ahead = secondary.lastApplied.timestamp.rawValue + 20 << 32
        let time = Value.timestamp(Timestamp(rawValue: ahead))
        let start = set.world.now
        let reply = try secondary.run(
            [
                "find": "orders", "readConcern": ["afterClusterTime": time], "$readPreference": Self.nearest,
                "$clusterTime": ["clusterTime": time],
            ], in: "shop")
        #expect(ids(reply) == [1], "\(reply)")
        #expect(set.world.now - start < .milliseconds(100))
    }

    @Test("many reads that wait for a cluster time cost the primary one no-op")
    func sharedNoOps() throws {
        let set = try makeSet(seed: 6)
        #expect(try set.primary?.run(write(1), in: "shop").isOK == true)
        try set.runUntilConverged(within: .seconds(5))
        let (primary, secondary) = (try #require(set.primary), try #require(set.secondaries.first))
        let before = primary.node?.oplogCount ?? 0
        let ahead = secondary.lastApplied.timestamp.rawValue + 20 << 32
        let time = Value.timestamp(Timestamp(rawValue: ahead))
        var answers = 0
        for _ in 0..<50 {
            secondary.send(
                [
                    "find": "orders", "readConcern": ["afterClusterTime": time], "$readPreference": Self.nearest,
                    "$clusterTime": ["clusterTime": time],
                ], in: "shop"
            ) { if $0.isOK { answers += 1 } }
        }
        try set.world.run(until: { answers == 50 }, atMost: .seconds(2), "fifty answers")
        #expect((primary.node?.oplogCount ?? 0) - before <= 2)
    }

    @Test("a waiting read goes with its client, and with the member's state")
    func abandonedWait() throws {
        let set = try makeSet(seed: 5)
        let client = SimulatedClient(set)
        let secondary = try #require(set.secondaries.first)
        for member in set.members where member !== secondary { member.pause() }
        let node = try #require(secondary.node)
        let waiting = node.waiterCount
        var clusterTime = secondary.lastApplied.timestamp.rawValue + 1 << 32
        func wait(_ answer: @escaping (Document) -> Void) {
            clusterTime += 1
            let time = Value.timestamp(Timestamp(rawValue: clusterTime))
            client.runtime.spawn("reader") {
                let reply = try? await client.client["shop"].runCommand(
                    [
                        "find": "orders", "readConcern": ["afterClusterTime": time],
                        "$clusterTime": ["clusterTime": time],
                    ], preference: .secondary)
                if let reply { answer(reply) }
            }
        }
        for _ in 0..<5 { wait { _ in } }
        try set.world.run(until: { node.waiterCount >= waiting + 5 }, atMost: .seconds(4), "five reads that wait")
        set.world.crash(client.name)
        try set.world.run(until: { node.waiterCount <= waiting }, atMost: .seconds(1), "the reads to be forgotten")
    }

    @Test("a primary that slept through its deposition answers no linearizable read when it wakes", arguments: 1...6)
    func deposedPrimary(seed: UInt64) throws {
        let set = try makeSet(seed: seed)
        let old = try #require(set.primary)
        #expect(try old.run(write(1), in: "shop").isOK)
        old.pause()
        let new = try set.runUntilPrimary(within: .seconds(10), otherThan: old)
        #expect(try new.run(write(2), in: "shop").isOK)
        // It still believes that it is the primary, and has not heard of anything.
        old.resume()
        #expect(old.isWritablePrimary)
        let reply = try old.run(read(["level": "linearizable"]), in: "shop")
        #expect(!reply.isOK, "\(reply)")
        try set.runUntilConverged(within: .seconds(20))
        for member in set.members where !member.isWritablePrimary {
            #expect(try member.run(read(["level": "linearizable"]), in: "shop").code == 10107)
        }
    }

    @Test("a snapshot read at one time shows the same at every member, whatever was written since")
    func everyMember() throws {
        let set = try makeSet(seed: 11)
        let primary = try #require(set.primary)
        for id: Int32 in 1...3 { #expect(try primary.run(write(id), in: "shop").isOK) }
        let first = try primary.run(read(["level": "snapshot"]), in: "shop")
        let time = try #require(first["cursor"]?.asDocument?["atClusterTime"])
        #expect(ids(first) == [1, 2, 3])
        for id: Int32 in 4...6 { #expect(try primary.run(write(id), in: "shop").isOK) }
        #expect(try primary.run(["drop": "orders"], in: "shop").isOK)
        try set.runUntilConverged(within: .seconds(5))
        let then: Document = ["level": "snapshot", "atClusterTime": time]
        for member in set.members {
            #expect(ids(try member.run(read(then), in: "shop")) == [1, 2, 3], "\(member.name)")
            let distinct: Document = [
                "distinct": "orders", "key": "_id", "readConcern": .document(then), "$readPreference": Self.nearest,
            ]
            let values = try member.run(distinct, in: "shop")
            #expect(values["values"] == [1, 2, 3])
            #expect(values["atClusterTime"] == time)
        }
        // History goes as time does: what cannot be read any more is refused, never answered with something else.
        for _ in 0..<3 {
            try set.world.run(for: .seconds(8))
            #expect(try set.primary?.run(write(7), in: "other").isOK == true)
            #expect(
                try set.primary?.run(["delete": "orders", "deletes": [["q": [:], "limit": 0]]], in: "other").isOK
                    == true)
        }
        try set.runUntilConverged(within: .seconds(5))
        for member in set.members {
            #expect(try member.run(read(then), in: "shop")["codeName"] == "SnapshotTooOld", "\(member.name)")
        }
    }

    @Test("a snapshot read waits for a time that a majority has yet to reach, and is refused one that is to come")
    func futureTimes() throws {
        let set = try makeSet(seed: 12)
        let primary = try #require(set.primary)
        #expect(try primary.run(write(1), in: "shop").isOK)
        try set.runUntilConverged(within: .seconds(2))
        set.isolate(primary)
        let alone = try primary.run(write(2, majority: false), in: "shop")
        let time = try #require(alone["operationTime"])
        let waiting = try primary.run(read(["level": "snapshot", "atClusterTime": time], timeLimit: 200), in: "shop")
        #expect(waiting["codeName"] == "MaxTimeMSExpired")
        #expect(ids(try primary.run(read(["level": "snapshot"]), in: "shop")) == [1])
        #expect(ids(try primary.run(read(["level": "majority"]), in: "shop")) == [1])
        let later = Timestamp(seconds: try #require(time.asTimestamp).seconds + 1000, increment: 1)
        let reply = try primary.run(read(["level": "snapshot", "atClusterTime": .timestamp(later)]), in: "shop")
        #expect(reply["codeName"] == "InvalidOptions")
        #expect(
            try primary.run(["count": "orders", "readConcern": ["level": "snapshot"]], in: "shop")["codeName"]
                == "InvalidOptions")
    }

    @Test("a member that comes back answers majority reads once it knows what a majority has, never before")
    func afterRestart() throws {
        let set = try makeSet(seed: 13)
        let primary = try #require(set.primary)
        for id: Int32 in 1...3 { #expect(try primary.run(write(id), in: "shop").isOK) }
        let victim = try #require(set.secondaries.first)
        victim.crash()
        try set.world.run(for: .seconds(1))
        victim.restart()
        try set.world.run(for: .milliseconds(1))
        for _ in 0..<400 {
            let reply = try victim.run(read(["level": "majority"], timeLimit: 10), in: "shop")
            if reply.isOK {
                #expect(ids(reply) == [1, 2, 3])
                return
            }
            try set.world.run(for: .milliseconds(20))
        }
        Issue.record("no majority read was answered")
    }
}
