import BSON
import Client
import Core
import Replication
import ElectionPolicies

/// What a script acts on: a started set, and the steps that scripts have in common.
final class ScenarioStage {
    let set: SimulatedReplicaSet
    var world: SimulatedWorld { self.set.world }
    private var clients = 0

    init(_ set: SimulatedReplicaSet) { self.set = set }

    /// A set in which nobody stands unless told to; its members remember.
    static func commanded(_ count: Int) -> @Sendable (SimulatedWorld) -> SimulatedReplicaSet {
        { world in
            SimulatedReplicaSet(
                world, kinds: Array(repeating: .normal, count: count), policy: CommandedElectionPolicy(),
                remembers: true, timing: .patient)
        }
    }

    func makeClient(timeout: Duration = .seconds(10)) -> SimulatedClient {
        clients += 1
        var options = SimulatedClient.options
        options.serverSelectionTimeout = timeout
        return SimulatedClient(set, name: "client-\(clients)", options: options)
    }

    func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw set.failure("the scenario expected: \(what())") }
    }

    func wait(_ what: String, within limit: Duration = .seconds(30), until condition: () -> Bool) throws {
        try world.run(until: condition, atMost: limit, "\(what)\n  \(set.summary)\n")
    }

    /// Lets a member stand, and waits until it is elected, or until it takes writes.
    func elect(_ member: SimulatedMember, untilWritable: Bool = true) throws {
        set.timeline.add("SCRIPT", "\(member.name) shall be primary")
        let term = member.term
        let isElected = { member.term > term && member.member?.isPrimary == true }
        // A try may only tell it of a term that has passed, or meet a configuration on its way.
        for _ in 0..<20 where !isElected() {
            member.send(["replSetStepUp": 1]) { _ in }
            let end = world.now + .seconds(1)
            while !isElected(), try world.step(notAfter: end) {}
        }
        try wait("the election of \(member.name)") { isElected() && (!untilWritable || member.isWritablePrimary) }
    }

    /// Writes one document on a member, w:1, whatever the rest of the set thinks of it.
    @discardableResult
    func write(_ id: Int64, on member: SimulatedMember, w: Value = 1) throws -> Document {
        try member.run(
            ["insert": "things", "documents": [["_id": .int64(id)]], "writeConcern": ["w": w, "wtimeout": 2000]],
            in: WriteWorkload.database)
    }

    /// The numbers of the documents that a member holds.
    func things(_ member: SimulatedMember) throws -> [Int64] {
        try member.documents(WriteWorkload.database, "things").compactMap { $0["_id"]?.asInteger }.sorted()
    }

    /// Lets only the named members talk to one another.
    func together(_ members: [SimulatedMember]) {
        let others = set.members.filter { one in !members.contains { $0 === one } }
        set.heal()
        set.partition([members] + others.map { [$0] })
    }

    /// Everything is put right, one member takes over, and all agree.
    func reunite(under member: SimulatedMember) throws {
        set.heal()
        for other in set.members where !other.isAlive { other.restart() }
        try wait("all members to be secondaries") {
            self.set.members.allSatisfy { $0.state == .secondary || $0.state == .primary }
        }
        if !member.isWritablePrimary { try elect(member) }
        try set.runUntilConverged(within: .seconds(60))
    }
}
