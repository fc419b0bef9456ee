import BSON
import Conformance
import Core
import ElectionPolicies
import Foundation
import Testing

@testable import Replication

/// Whole sets under virtual time, with faults; the invariants of the protocol are checked at every event.
@Suite struct ProtocolSimulationTests {
    /// Debug builds are ten times slower; the sweep of the release build is the one that counts.
    static let seeds: UInt64 =
        ProcessInfo.processInfo.environment["QUORATE_SEEDS"].flatMap { UInt64($0) }
        ?? (_isDebugAssertConfiguration() ? 6 : 100)

    static func config(members: Int) -> ReplicaSetConfig {
        var config = ReplicaSetConfig(
            setName: "rs", members: (0..<members).map { MemberConfig(id: MemberID($0), host: "m\($0):27017") })
        config.settings.electionTimeoutMillis = 500
        config.settings.heartbeatIntervalMillis = 100
        return config
    }

    static func initiated(
        _ members: Int, seed: UInt64, _ faults: VirtualWorld.Faults = .init(), keepsTrace: Bool = false,
        _ change: (inout ReplicaSetConfig) -> Void = { _ in }, policy: (Int) -> any ElectionPolicy
    ) -> VirtualWorld {
        var config = config(members: members)
        change(&config)
        let world = VirtualWorld(members: members, seed: seed, faults: faults, keepsTrace: keepsTrace, policy: policy)
        world.faults.lossPercent = 0
        for node in world.nodes { node.start() }
        world.nodes[0].do { $0.onInitiateCommand(RequestID(0), config, now: world.now) }
        world.run(for: .seconds(5)) { world.everyoneVotes }
        world.faults.lossPercent = faults.lossPercent
        return world
    }

    static func keepWriting(_ world: VirtualWorld) {
        world.schedule(after: .milliseconds(20)) {
            for node in world.nodes { node.write() }
            keepWriting(world)
        }
    }

    /// Trouble, then peace; what must hold in the end.
    static func check(
        _ members: Int, seed: UInt64, _ faults: VirtualWorld.Faults, converges: Bool = true, keepsTrace: Bool = false,
        _ change: (inout ReplicaSetConfig) -> Void = { _ in }, policy: (Int) -> any ElectionPolicy
    ) -> [String] {
        let world = initiated(members, seed: seed, faults, keepsTrace: keepsTrace, change, policy: policy)
        keepWriting(world)
        world.makeTrouble(for: .seconds(5))
        world.heal()
        guard converges, world.problems.isEmpty else { return world.problems + (keepsTrace ? world.trace : []) }
        world.run(for: .seconds(1))
        // I27, I7: elected, writing, and everyone has everything that was acknowledged.
        let before = world.acknowledged.count
        let converged = world.run(for: .seconds(12)) {
            world.acknowledged.count > before + 20
                && agree(
                    world.nodes.filter { $0.isAlive && $0.member.state != .removed && $0.member.state != .startup })
        }
        if !converged, world.problems.isEmpty {
            world.fail("no convergence: " + world.nodes.map(describe).joined(separator: "; "))
        }
        if world.problems.isEmpty {
            let kept = Set(world.committed.map(\.payload))
            let lost = world.acknowledged.filter { !kept.contains($0) }
            if !lost.isEmpty { world.fail("acknowledged and lost: \(lost)") }
        }
        return world.problems + (keepsTrace ? world.trace : [])
    }

    static func agree(_ nodes: [VirtualNode]) -> Bool {
        guard nodes.filter({ $0.member.isWritablePrimary }).count == 1 else { return false }
        return nodes.allSatisfy { node in
            node.member.config == nodes[0].member.config && node.member.term == nodes[0].member.term
                && [.primary, .secondary, .arbiter].contains(node.member.state)
                && node.member.commitPoint.timestamp.rawValue + 3 > nodes[0].member.commitPoint.timestamp.rawValue
                && node.member.config?.members.allSatisfy { !$0.isNewlyAdded } == true
        }
    }

    static func describe(_ node: VirtualNode) -> String {
        "\(node.id) \(node.member.state.name) t\(node.member.term) commit \(node.member.commitPoint) "
            + "log \(node.log.last?.optime ?? .null) config \(node.member.config?.configVersion ?? .none) "
            + "source \(node.member.syncSource ?? -1)"
    }

    static let allFaults = VirtualWorld.Faults(
        lossPercent: 3, delay: 0...8, crashes: true, partitions: true, commands: true, reconfigs: true)

    static func policy(_ seed: UInt64) -> any ElectionPolicy {
        seed % 2 == 0 ? MongoDBElectionPolicy() : FastElectionPolicy()
    }

    @Test("a set in peace elects the initiator at once and every majority write is acknowledged", arguments: [1, 3, 5])
    func peace(members: Int) {
        let world = Self.initiated(members, seed: 1) { _ in FastElectionPolicy() }
        #expect(world.problems == [])
        #expect(world.nodes[0].member.isWritablePrimary)
        #expect(world.now < .init(nanoseconds: 1_500_000_000))
        Self.keepWriting(world)
        world.run(for: .seconds(2))
        #expect(world.problems == [])
        #expect(world.acknowledged.count > 90)
        #expect(world.elections == 1)
    }

    @Test("three members under crashes, partitions, loss and commands lose nothing and converge")
    func threeMembers() {
        for seed in 1...Self.seeds {
            let problems = Self.check(3, seed: seed, Self.allFaults) { _ in Self.policy(seed) }
            #expect(problems == [], "seed \(seed)")
        }
    }

    @Test("five members under crashes, partitions, loss and reconfigurations lose nothing and converge")
    func fiveMembers() {
        for seed in 1...Self.seeds {
            let problems = Self.check(5, seed: 1000 + seed, Self.allFaults) { _ in Self.policy(seed) }
            #expect(problems == [], "seed \(1000 + seed)")
        }
    }

    @Test("a volatile member that forgot votes again only after it caught up, and nothing is lost")
    func volatileMembers() {
        var faults = Self.allFaults
        faults.isVolatile = true
        faults.reconfigs = false
        for seed in 1...Self.seeds {
            let problems = Self.check(3, seed: 2000 + seed, faults) { _ in Self.policy(seed) }
            #expect(problems == [], "seed \(2000 + seed)")
        }
    }

    @Test("hostile policies cost liveness, never safety", arguments: HostileElectionPolicy.Manner.allCases)
    func hostile(manner: HostileElectionPolicy.Manner) {
        for seed in 1...(Self.seeds / 2) {
            let problems = Self.check(3, seed: 3000 + seed, Self.allFaults, converges: false) { index in
                index == 0 ? MongoDBElectionPolicy() as any ElectionPolicy : HostileElectionPolicy(manner)
            }
            #expect(problems == [], "seed \(3000 + seed)")
        }
    }

    @Test("the same seed gives the same run")
    func determinism() {
        func trace() -> [String] {
            Self.check(3, seed: 7, Self.allFaults, keepsTrace: true) { _ in FastElectionPolicy() }
        }
        let first = trace()
        #expect(first.count > 20)
        #expect(first == trace())
    }

    @Test("fast: a killed primary is replaced within a tenth of the election timeout")
    func fastFailover() {
        for seed in 1...10 as ClosedRange<UInt64> {
            let world = Self.initiated(3, seed: seed) { _ in FastElectionPolicy() }
            world.run(for: .milliseconds(700))
            let start = world.now
            world.nodes[0].crash()
            let elected = world.run(for: .seconds(3)) {
                world.nodes.contains { $0.isAlive && $0.member.isWritablePrimary }
            }
            #expect(elected)
            #expect(world.now - start < .milliseconds(100), "seed \(seed)")
        }
    }

    @Test("fast: one broken link does not depose a primary that the others hear")
    func brokenLink() {
        let world = Self.initiated(3, seed: 5) { _ in FastElectionPolicy() }
        world.run(for: .milliseconds(500))
        world.cut = [1, VirtualWorld.rowLength]
        world.nodes[1].do { $0.onConnectionLost(0, now: world.now) }
        world.nodes[0].do { $0.onConnectionLost(1, now: world.now) }
        world.run(for: .milliseconds(400))
        #expect(world.nodes[0].member.isWritablePrimary)
        #expect(world.nodes[0].member.term == 1)
    }
}
