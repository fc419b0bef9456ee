import BSON
import Core
import Testing

@testable import Client

/// The rules of server discovery, as a pure value.
struct TopologyTests {
    private func address(_ name: String) -> Endpoint { Endpoint(host: name, port: 27017) }

    private func topology(_ seeds: [String], setName: String? = "rs0", isDirect: Bool = false) -> Topology {
        Topology(
            seeds: seeds.map(address), setName: setName, isDirect: isDirect, heartbeatInterval: .seconds(10))
    }

    private func member(
        _ name: String, _ type: ServerType, members: [String] = ["a", "b"], setName: String? = "rs0",
        election: UInt32? = nil, setVersion: Int64? = nil, counter: Int64? = nil, wire: Int = 25
    ) -> ServerDescription {
        var server = ServerDescription(address: address(name), type: type)
        server.setName = setName
        server.members = members.map(address)
        server.me = address(name)
        server.maxWireVersion = wire
        server.electionID = election.map { ObjectID(high: 0x7FFF_FFFF_0000_0000, low: $0) }
        server.setVersion = setVersion
        server.topologyVersion = counter.map {
            TopologyVersion(processID: ObjectID(high: 1, low: 1), counter: $0)
        }
        return server
    }

    private func types(_ topology: Topology) -> [String: ServerType] {
        Dictionary(uniqueKeysWithValues: topology.description.servers.map { ($0.address.host, $0.type) })
    }

    @Test("a primary brings the members it names and removes those it does not")
    func primaryList() {
        var topology = topology(["a", "x"])
        #expect(topology.take(member("a", .primary)) == [.watch(address("b")), .forget(address("x"))])
        #expect(topology.description.kind == .replicaSetWithPrimary)
        #expect(types(topology) == ["a": .primary, "b": .unknown])
    }

    @Test("without a primary a secondary brings members and removes none")
    func secondaryList() {
        var topology = topology(["b", "x"])
        #expect(topology.take(member("b", .secondary)) == [.watch(address("a"))])
        #expect(topology.description.kind == .replicaSetNoPrimary)
        #expect(types(topology) == ["a": .unknown, "b": .secondary, "x": .unknown])
    }

    @Test("with a primary a secondary's list is not taken")
    func secondaryWithPrimary() {
        var topology = topology(["a"])
        _ = topology.take(member("a", .primary))
        #expect(topology.take(member("b", .secondary, members: ["a", "b", "z"])) == [])
    }

    @Test("a member of another set, a standalone and a router are removed")
    func wrongSet() {
        for wrong in [
            member("x", .secondary, setName: "other"), member("x", .primary, setName: "other"),
            member("x", .standalone, setName: nil), member("x", .mongos, setName: nil),
        ] {
            var topology = topology(["a", "x"])
            #expect(topology.take(wrong) == [.forget(address("x"))])
        }
    }

    @Test("a member that calls itself by another name is removed")
    func wrongName() {
        var topology = topology(["alias"])
        var server = member("alias", .secondary)
        server.me = address("b")
        #expect(topology.take(server) == [.watch(address("a")), .watch(address("b")), .forget(address("alias"))])
    }

    @Test("a new primary replaces the old one")
    func newPrimary() {
        var topology = topology(["a", "b"])
        _ = topology.take(member("a", .primary, election: 1, setVersion: 1))
        #expect(topology.take(member("b", .primary, election: 2, setVersion: 1)) == [.stalePrimary(address("a"))])
        #expect(types(topology) == ["a": .unknown, "b": .primary])
    }

    @Test("a primary of an older election is not believed")
    func stalePrimary() {
        var topology = topology(["a", "b"])
        _ = topology.take(member("b", .primary, election: 2, setVersion: 1))
        #expect(topology.take(member("a", .primary, election: 1, setVersion: 1)) == [.stalePrimary(address("a"))])
        #expect(types(topology) == ["a": .unknown, "b": .primary])
        #expect(topology.take(member("a", .primary, election: nil, setVersion: 5)) == [.stalePrimary(address("a"))])
    }

    @Test("from wire version 17 on the election counts before the set's version, before it behind")
    func electionOrder() {
        for (wire, believed) in [(17, true), (16, false)] {
            var topology = topology(["a", "b"])
            _ = topology.take(member("a", .primary, election: 1, setVersion: 2, wire: wire))
            _ = topology.take(member("b", .primary, election: 2, setVersion: 1, wire: wire))
            #expect((topology.description.primary?.address == address("b")) == believed, "wire \(wire)")
        }
    }

    @Test("a primary that steps down or cannot be reached leaves the set without one")
    func primaryLost() {
        var topology = topology(["a"])
        _ = topology.take(member("a", .primary))
        _ = topology.take(member("a", .secondary))
        #expect(topology.description.kind == .replicaSetNoPrimary)
        _ = topology.take(member("a", .primary))
        _ = topology.take(ServerDescription(address: address("a")))
        #expect(topology.description.kind == .replicaSetNoPrimary)
    }

    @Test("an older reply of the same process is ignored, one of another process is not")
    func freshness() {
        var topology = topology(["a"])
        _ = topology.take(member("a", .primary, counter: 5))
        #expect(topology.take(member("a", .secondary, counter: 4)) == [.ignored(address("a"))])
        #expect(types(topology)["a"] == .primary)
        _ = topology.take(member("a", .secondary, counter: 5))
        #expect(types(topology)["a"] == .secondary)
    }

    @Test("an error that is not newer than what is known changes nothing")
    func staleError() {
        var topology = topology(["a"])
        _ = topology.take(member("a", .primary, counter: 5))
        let process = ObjectID(high: 1, low: 1)
        let same = topology.markUnknown(
            address("a"), version: TopologyVersion(processID: process, counter: 5), error: "")
        #expect(!same)
        #expect(types(topology)["a"] == .primary)
        let newer = topology.markUnknown(
            address("a"), version: TopologyVersion(processID: process, counter: 6), error: "")
        #expect(newer)
        #expect(types(topology)["a"] == .unknown)
        let withoutVersion = topology.markUnknown(address("a"), version: nil, error: "")
        #expect(withoutVersion)
    }

    @Test("without a set name the first answer decides what the seeds are")
    func discovery() {
        var single = topology(["a"], setName: nil)
        _ = single.take(member("a", .standalone, setName: nil))
        #expect(single.description.kind == .single)
        var several = topology(["a", "b"], setName: nil)
        #expect(several.take(member("a", .standalone, setName: nil)) == [.forget(address("a"))])
        var sharded = topology(["a", "b"], setName: nil)
        _ = sharded.take(member("a", .mongos, setName: nil))
        #expect(sharded.description.kind == .sharded)
        #expect(sharded.take(member("b", .secondary)) == [.forget(address("b"))])
        var set = topology(["a"], setName: nil)
        _ = set.take(member("a", .secondary))
        #expect(set.description.setName == "rs0")
        #expect(set.description.kind == .replicaSetNoPrimary)
    }

    @Test("connected directly, a member is taken as it is and others are not looked for")
    func direct() {
        var topology = topology(["b"], setName: nil, isDirect: true)
        #expect(topology.take(member("b", .secondary)) == [])
        #expect(topology.description.kind == .single)
        #expect(types(topology) == ["b": .secondary])
    }

    @Test("sessions last as long as the most forgetful server says, and are off when one has none")
    func sessionTimeout() {
        var topology = topology(["a", "b"])
        var a = member("a", .primary)
        a.logicalSessionTimeoutMinutes = 30
        _ = topology.take(a)
        #expect(topology.logicalSessionTimeoutMinutes == 30)
        var b = member("b", .secondary)
        b.logicalSessionTimeoutMinutes = 10
        _ = topology.take(b)
        #expect(topology.logicalSessionTimeoutMinutes == 10)
        b.logicalSessionTimeoutMinutes = nil
        _ = topology.take(b)
        #expect(topology.logicalSessionTimeoutMinutes == nil)
    }
}
