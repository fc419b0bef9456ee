import Testing

@testable import Quorate

/// What can be done to a running set, and what it must survive.
@Suite(.timeLimit(.minutes(1))) struct FaultTests {
    @Test("a write that a majority has acknowledged outlives the primary")
    func killedPrimary() async throws {
        try await withSet(ReplicaSet("killed")) { set in
            let orders = set.client["shop"]["orders"]
            _ = try await orders.insert(["_id": 1], writeConcern: .majority)
            let old = try await set.primary
            await set.kill(old)
            #expect(!old.isRunning)
            #expect(try await set.primary !== old)
            #expect(try await orders.findOne(["_id": 1]) != nil)
            _ = try await orders.insert(["_id": 2], writeConcern: .majority)
        }
    }

    @Test("a member that comes back empty copies what the others have")
    func restartedMember() async throws {
        try await withSet(ReplicaSet("restarted")) { set in
            let orders = set.client["shop"]["orders"]
            _ = try await orders.insert((0..<100).map { ["_id": .int32($0)] as Document }, writeConcern: .majority)
            let old = try await set.primary
            let address = old.endpoint
            await old.kill()
            _ = try await orders.insert(["_id": 1000], writeConcern: .majority)
            try await set.restart(old)
            #expect(old.endpoint == address)
            // Acknowledged by all three: the member is back and has everything before it.
            _ = try await orders.insert(["_id": 2000], writeConcern: WriteConcern(w: .number(3), timeoutMillis: 20_000))
            let reply = try await old.run(
                ["count": "orders", "$readPreference": ["mode": "secondaryPreferred"]], database: "shop")
            #expect(reply["n"]?.asInteger == 102)
        }
    }

    @Test("a primary that steps down is followed by another one, and writes go on")
    func stepDown() async throws {
        try await withSet(ReplicaSet("steps")) { set in
            let orders = set.client["shop"]["orders"]
            _ = try await orders.insert(["_id": 1], writeConcern: .majority)
            let old = try await set.primary
            let new = try await set.stepDown()
            #expect(new !== old)
            #expect(old.isRunning)
            _ = try await orders.insert(["_id": 2], writeConcern: .majority)
            #expect(try await orders.count() == 2)
        }
    }

    @Test("a primary that is cut off confirms nothing more to a majority, and the others go on without it")
    func partition() async throws {
        try await withSet(ReplicaSet("cut")) { set in
            let old = try await set.primary
            let others = set.members.filter { $0 !== old }
            try set.partition([old], others)
            let reply = try await old.run(
                [
                    "insert": "orders", "documents": [["_id": "lost"]],
                    "writeConcern": ["w": "majority", "wtimeout": 300],
                ],
                database: "shop")
            #expect(reply["writeConcernError"] != nil || reply["ok"]?.asNumber == 0)
            while await old.isWritablePrimary { await SetMember.nextChange(of: [old], within: .milliseconds(100)) }
            let new = try await set.primary
            #expect(new !== old)
            _ = try await new.run(
                ["insert": "orders", "documents": [["_id": "kept"]], "writeConcern": ["w": "majority"]],
                database: "shop")
            set.heal()
            let orders = set.client["shop"]["orders"]
            _ = try await orders.insert(
                ["_id": "after"], writeConcern: WriteConcern(w: .number(3), timeoutMillis: 20_000))
            #expect(Set(try await orders.find().map { $0["_id"] }) == ["kept", "after"])
        }
    }

    @Test("a set that has lost a member goes on, and takes it back")
    func lostMember() async throws {
        try await withSet(ReplicaSet("minority")) { set in
            let primary = try await set.primary
            let others = set.members.filter { $0 !== primary }
            _ = try await set.client["shop"]["orders"].insert(["_id": 1], writeConcern: .w(3))
            await others[0].kill()
            _ = try await set.client["shop"]["orders"].insert(["_id": 2], writeConcern: .majority)
            try await set.restart(others[0])
            _ = try await set.client["shop"]["orders"].insert(
                ["_id": 3], writeConcern: WriteConcern(w: .number(3), timeoutMillis: 20_000))
        }
    }

    @Test("what was asked of a member that is not running fails with a plain error")
    func notRunning() async throws {
        try await withSet(ReplicaSet("gone")) { set in
            let member = set.members[2]
            await member.stop()
            await #expect(throws: ReplicaSetError.self) { try await member.run(["ping": 1]) }
        }
    }
}
