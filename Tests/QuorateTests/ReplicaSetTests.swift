import Quorate
import Testing

/// Replica sets built in code: real threads, no sockets unless a test says so.
@Suite(.timeLimit(.minutes(1))) struct ReplicaSetTests {
    @Test("a set that has started takes majority writes and reads them back", arguments: [1, 2, 3, 5])
    func insertAndFind(members: Int) async throws {
        try await withSet(ReplicaSet("basic", members: members)) { set in
            let orders = set.client["shop"]["orders"]
            let id = try await orders.insert(["_id": 1, "total": 59.99], writeConcern: .majority)
            #expect(id == 1)
            #expect(try await orders.findOne(["_id": 1])?["total"] == 59.99)
            #expect(try await orders.findOne(["_id": 2]) == nil)
        }
    }

    @Test("a started set has one primary, and all others are secondaries")
    func onePrimary() async throws {
        try await withSet(ReplicaSet("roles")) { set in
            let primary = try await set.primary
            _ = try await set.client["shop"]["orders"].insert(["_id": 1], writeConcern: .w(3))
            let secondaries = await set.secondaries
            #expect(secondaries.count == 2)
            #expect(!secondaries.contains { $0 === primary })
        }
    }

    @Test("updates, deletes and counts do what they say")
    func updatesAndDeletes() async throws {
        try await withSet(ReplicaSet("crud", members: 1)) { set in
            let items = set.client["shop"]["items"]
            _ = try await items.insert((0..<10).map { ["_id": .int32($0), "n": 0] as Document })
            let result = try await items.update(["_id": 3], ["$inc": ["n": 5]])
            #expect(result.modifiedCount == 1)
            #expect(try await items.count(["n": 5]) == 1)
            #expect(try await items.delete(["n": 0]) == 9)
            #expect(try await items.find().map { $0["_id"] } == [3])
        }
    }

    @Test("an error of the server reaches the caller as a typed error")
    func duplicateKey() async throws {
        try await withSet(ReplicaSet("errors", members: 1)) { set in
            let orders = set.client["shop"]["orders"]
            _ = try await orders.insert(["_id": 1])
            await #expect(throws: DuplicateKeyError.self) { try await orders.insert(["_id": 1]) }
        }
    }

    @Test("members have the priorities, tags and kinds that they were given")
    func chosenMembers() async throws {
        let set = ReplicaSet("chosen") {
            Member(priority: 2, tags: ["dc": "ny", "rack": "a"])
            for _ in 0..<2 { Member(priority: 0, tags: ["dc": "sf"]) }
            Member.arbiter
        }
        try await withSet(set) { set in
            let reply = try await set.primary.run(["replSetGetConfig": 1])
            let members = (reply["config"]?.asDocument?["members"]?.asArray ?? []).compactMap(\.asDocument)
            #expect(members.map { $0["priority"]?.asNumber } == [2, 0, 0, 0])
            #expect(members.map { $0["arbiterOnly"]?.asBool } == [false, false, false, true])
            #expect(members.first?["tags"]?.asDocument == ["dc": "ny", "rack": "a"])
        }
    }

    @Test("members of every kind are what they are called")
    func kinds() async throws {
        let set = ReplicaSet("kinds") {
            Member()
            Member.passive(tags: ["dc": "sf"])
            Member.hidden()
            Member.delayed(by: .seconds(3600))
            Member.withoutVote()
        }
        try await withSet(set) { set in
            _ = try await set.client["shop"]["orders"].insert(["_id": 1], writeConcern: .w(4))
            func hello(_ index: Int) async throws -> Document { try await set.members[index].run(["hello": 1]) }
            #expect(try await hello(1)["passive"]?.asBool == true)
            #expect(try await hello(1)["tags"]?.asDocument == ["dc": "sf"])
            #expect(try await hello(2)["hidden"]?.asBool == true)
            #expect(try await hello(3)["secondaryDelaySecs"]?.asInteger == 3600)
            #expect(try await hello(4)["passive"]?.asBool == true)
            let status = try await set.primary.run(["replSetGetStatus": 1])
            #expect(status["votingMembersCount"]?.asInteger == 3)
            // All but the delayed one have it.
            let count: Document = ["count": "orders", "$readPreference": ["mode": "nearest"]]
            #expect(try await set.members[3].run(count, database: "shop")["n"]?.asInteger == 0)
            #expect(try await set.members[4].run(count, database: "shop")["n"]?.asInteger == 1)
        }
    }

    @Test("a name that no set can have is refused", arguments: ["", "a/b"])
    func brokenName(name: String) async {
        await #expect(throws: ReplicaSetError.self) { try await ReplicaSet(name).start() }
    }

    @Test("a delay that is no number of whole seconds is refused")
    func brokenDelay() async {
        let set = ReplicaSet("broken") {
            Member()
            Member.delayed(by: .milliseconds(1500))
        }
        await #expect(throws: ReplicaSetError.self) { try await set.start() }
    }

    @Test("two sets in one process know nothing of each other")
    func sideBySide() async throws {
        try await withSet(ReplicaSet("left")) { left in
            try await withSet(ReplicaSet("right")) { right in
                _ = try await left.client["shop"]["orders"].insert(["_id": 1], writeConcern: .majority)
                #expect(try await right.client["shop"]["orders"].count() == 0)
                #expect(left.name == "left")
                try await right.primary.kill()
                _ = try await left.client["shop"]["orders"].insert(["_id": 2], writeConcern: .majority)
            }
        }
    }

    @Test("over sockets members listen on the ports behind the first one, and drivers are told where")
    func sockets() async throws {
        try await withSet(ReplicaSet("sockets").transport(.socket())) { set in
            let hosts = set.members.map { "127.0.0.1:\($0.endpoint.port)" }
            #expect(Set(hosts).count == 3)
            #expect(set.connectionString == "mongodb://\(hosts.joined(separator: ","))/?replicaSet=sockets")
            _ = try await set.client["shop"]["orders"].insert(["_id": 1], writeConcern: .majority)
            #expect(try await set.client["shop"]["orders"].count() == 1)
            #expect(throws: ReplicaSetError.self) { try set.partition([set.members[0]]) }
        }
    }

    @Test("a policy of one's own decides who stands")
    func customPolicy() async throws {
        try await withSet(ReplicaSet("policy").elections(.mongodb).timing(electionTimeout: .milliseconds(500))) { set in
            let status = try await set.primary.run(["serverStatus": 1])
            #expect(status["ok"]?.asNumber == 1)
            let old = try await set.primary
            await old.kill()
            #expect(try await set.primary !== old)
        }
    }
}

/// Runs `body` with a started set, and stops the set whatever `body` does.
func withSet(_ set: ReplicaSet, _ body: (RunningReplicaSet) async throws -> Void) async throws {
    let running = try await set.start()
    do {
        try await body(running)
    } catch {
        await running.stop()
        throw error
    }
    await running.stop()
}
