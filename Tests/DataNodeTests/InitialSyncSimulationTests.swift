import BSON
import Core
import Simulation
import Testing

/// Initial syncs and delays in virtual time, over links that are slow and break.
@Suite struct InitialSyncSimulationTests {
    private static let documents = 12_000

    /// Three members with data; the last one comes back empty, behind links of `delay`.
    private static func syncing(
        seed: UInt64, delay: Duration, timing: SimulatedReplicaSet.Timing = .init()
    ) throws -> SimulatedReplicaSet {
        let world = SimulatedWorld(seed: seed)
        let set = SimulatedReplicaSet(world, members: 3, timing: timing)
        try set.start()
        let primary = try set.runUntilPrimary(within: .seconds(30))
        for start in stride(from: 0, to: documents, by: 1000) {
            let batch = (start..<start + 1000).map { number -> Value in
                .document(["_id": .int32(Int32(number)), "text": .string(String(repeating: "x", count: 100))])
            }
            let reply = try primary.run(["insert": "things", "documents": .array(batch)])
            #expect(reply.isOK)
        }
        try set.runUntilConverged(within: .seconds(60))
        let member = set.members.last { $0 !== primary }!
        for other in set.members where other !== member {
            world.network.setLink(between: other.name, and: member.name, .distant(delay))
        }
        member.crash()
        try set.run(until: { _ in !member.isAlive }, within: .seconds(1), "the crash")
        member.restart()
        return set
    }

    private static func emptyMember(_ set: SimulatedReplicaSet) -> SimulatedMember {
        set.members.last { $0 !== set.primary }!
    }

    private static func status(_ member: SimulatedMember, after: Bool = false) throws -> Document? {
        let reply = try member.run(["replSetGetStatus": 1, "initialSync": .bool(after)])
        return reply["initialSyncStatus"]?.asDocument
    }

    private static func copied(_ status: Document?) -> Int64 {
        let database = status?["databases"]?.asDocument?["admin"]?.asDocument
        return database?["admin.things"]?.asDocument?["documentsCopied"]?.asInteger ?? 0
    }

    /// Seeds in which no member is unreachable for so long that another source is preferred.
    @Test(
        "a clone whose connections break goes on behind the last document, and copies none twice",
        arguments: [1, 2, 4, 5, 6])
    func brokenConnections(seed: UInt64) throws {
        let set = try Self.syncing(seed: seed, delay: .milliseconds(50))
        let member = Self.emptyMember(set)
        var breaks = 0
        while breaks < 3 {
            try set.world.run(for: .milliseconds(170))
            guard Self.copied(try Self.status(member)) > 0 else { continue }
            for other in set.members where other !== member {
                set.world.network.resetConnections(between: other.name, and: member.name)
            }
            breaks += 1
        }
        try set.runUntilConverged(within: .seconds(120))
        let status = try #require(try Self.status(member, after: true))
        #expect(
            status["failedInitialSyncAttempts"]?.asInteger == 0, "\(String(describing: status["initialSyncAttempts"]))")
        #expect(status["operationsRetried"]?.asInteger ?? 0 > 0)
        #expect(Self.copied(status) == Self.documents)
    }

    @Test("a clone that is cut off for a while goes on from the same source when no other can be asked")
    func cutOff() throws {
        let set = try Self.syncing(seed: 9, delay: .milliseconds(50))
        let member = Self.emptyMember(set)
        try set.run(
            until: { _ in (member.isAlive && (try? Self.copied(Self.status(member))) ?? 0 > 2000) },
            within: .seconds(20),
            "some documents")
        set.isolate(member)
        try set.world.run(for: .seconds(8))
        #expect(try Self.status(member)?["syncSourceUnreachableSince"]?.asInteger == nil)
        #expect(try Self.status(member)?["currentOutageDurationMillis"]?.asInteger ?? 0 > 3000)
        set.heal()
        try set.runUntilConverged(within: .seconds(120))
        let status = try #require(try Self.status(member, after: true))
        #expect(
            status["failedInitialSyncAttempts"]?.asInteger == 0, "\(String(describing: status["initialSyncAttempts"]))")
        #expect(Self.copied(status) == Self.documents)
        #expect(status["totalTimeUnreachableMillis"]?.asInteger ?? 0 > 3000)
    }

    @Test("a long initial sync says how far it is, at an interval")
    func progressLine() throws {
        let timing = SimulatedReplicaSet.Timing(heartbeatInterval: .seconds(2), electionTimeout: .seconds(10))
        let set = try Self.syncing(seed: 3, delay: .milliseconds(1000), timing: timing)
        try set.runUntilConverged(within: .seconds(300))
        let lines = set.timeline.last(3000).filter { $0.contains("of about \(Self.documents + 1) documents") }
        #expect(lines.count >= 2)
        // Beside the documents' collection there is `system.version`, with one document.
        #expect(lines.allSatisfy { $0.contains("of 2 collections") })
        #expect(lines.contains { $0.contains("s to go") })
    }

    @Test("a delayed member applies an entry when it is as old as the delay, and not before")
    func delay() throws {
        let world = SimulatedWorld(seed: 4)
        let set = SimulatedReplicaSet(world, members: 3)
        try set.start()
        let primary = try set.runUntilPrimary(within: .seconds(30))
        let delayed = set.members.last { $0 !== primary }!
        var config = try #require(try primary.run(["replSetGetConfig": 1])["config"]?.asDocument)
        let members = (config["members"]?.asArray ?? []).compactMap(\.asDocument).map { entry -> Value in
            guard entry["_id"]?.asInteger == Int64(delayed.id) else { return .document(entry) }
            return .document([
                "_id": entry["_id"]!, "host": entry["host"]!, "priority": 0, "hidden": true, "secondaryDelaySecs": 30,
            ])
        }
        let version = config["version"]?.asInteger ?? 0
        config = [
            "_id": config["_id"]!, "version": .int64(version + 1), "members": .array(members),
            "settings": config["settings"]!,
        ]
        #expect(try primary.run(["replSetReconfig": .document(config)]).isOK)
        try world.run(for: .seconds(1))
        for number in 0..<200 {
            #expect(
                try primary.run(["insert": "things", "documents": [["_id": .int32(Int32(number))]]]).isOK)
        }
        let written = world.now
        while world.now - written < .seconds(29) {
            try world.run(for: .seconds(1))
            #expect(try delayed.documents("admin", "things").isEmpty)
        }
        // Its position is what it has applied: it holds up whoever waits for all three.
        let reply = try primary.run([
            "insert": "things", "documents": [["_id": "all"]], "writeConcern": ["w": 3, "wtimeout": 100],
        ])
        #expect(reply["writeConcernError"]?.asDocument?["code"]?.asInteger == 64)
        try world.run(for: .seconds(3))
        #expect(try delayed.documents("admin", "things").count == 200)
        try world.run(for: .seconds(30))
        #expect(try delayed.documents("admin", "things").count == 201)
    }
}
