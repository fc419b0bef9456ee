import Core
import DataNode

/// A seeded run of a replica set: first faults and clients (safety), then everything healed (liveness).
///
/// The checkers watch throughout; in the end all members must agree, hold every acknowledged majority write once, and
/// take a new one.
public struct RandomScenario {
    public var swarm: Swarm
    /// How long the healed set may take to agree.
    public var livenessLimit: Duration = .seconds(120)

    /// Rare paths that a sweep of some hundred seeds takes.
    public static let expectedProbes = [
        "rollback", "resynchronisation", "catch-up", "catch-up takeover", "priority takeover", "dry run refused",
        "dry run failed", "vote refused", "election failed", "vote asked for while standing", "handed over",
        "primary saw a higher term", "primary lost its majority", "member that forgot set back", "member readmitted",
        "batch of an older term dropped", "linearizable read failed", "sync source lost",
        "secondary asked for a no-op", "configuration during candidacy", "odd: small batch of entries",
        "odd: short slice", "odd: small clone batch",
    ]

    public init(swarm: Swarm) { self.swarm = swarm }
    public init(seed: UInt64) { swarm = Swarm(seed: seed) }

    /// Runs a seed.
    /// - Parameter recording: the events that the trace keeps in full.
    /// - Throws: `SeedFailure`.
    public func run(seed: UInt64, recording: Range<UInt64> = 0..<0) throws -> SeedReport {
        try run(in: SimulatedWorld(seed: seed, shufflesNodes: swarm.shufflesNodes, recording: recording))
    }

    /// Runs in a fresh world, which the caller can look at afterwards.
    public func run(in world: SimulatedWorld) throws -> SeedReport {
        let probes = Probes(seed: world.seed, buggifyProbability: swarm.buggifyProbability)
        world.hooks = probes.hooks(mutants: swarm.mutants)
        let set = SimulatedReplicaSet(
            world, kinds: swarm.kinds, spares: swarm.spares, policy: swarm.policy, policies: swarm.policies,
            syncSourceSelector: swarm.syncSourceSelector, remembers: swarm.remembers, flushTime: swarm.flushTime,
            usesFiles: swarm.usesFiles, notResidentOneIn: swarm.notResidentOneIn, oplogBytesMax: swarm.oplogBytesMax,
            timing: swarm.timing)
        do {
            return try run(set, probes)
        } catch {
            let views = (error as? SimulationError)?.kind == .conditionNotReached ? set.views() : []
            throw SeedFailure(seed: world.seed, reason: "\(error)", timeline: set.timeline.last() + views)
        }
    }

    private func run(_ set: SimulatedReplicaSet, _ probes: Probes) throws -> SeedReport {
        let world = set.world
        // A set that hostile policies keep from its first election promises nothing more.
        do { try set.start(within: livenessLimit) } catch let error as SimulationError {
            guard swarm.isHostile, error.kind == .conditionNotReached else { throw error }
            return SeedReport(set, swarm, probes, faults: [:], operations: [:], isAvailable: false)
        }
        let load = Load(set, swarm)
        load.start()
        var faults = RandomFaults(set, swarm, load)
        let end = world.now + swarm.safetyPhase
        while world.now < end {
            try world.run(for: faults.nextPause())
            faults.step()
        }
        faults.endAll()
        let isAvailable = try heal(set, load)
        // A member that was cloned anew, or lost its disk or what it had not flushed, has not kept what it held alone.
        let hasThrownAway =
            probes.counts["resynchronisation"] != nil
            || set.members.contains { $0.lostDisks > 0 || $0.lostTails > 0 }
        try load.check(isAvailable: isAvailable, keepsAll: swarm.remembers && !hasThrownAway)
        if isAvailable { try checkAtRest(set, load) }
        var counts = faults.counts
        counts.merge(load.faults) { $0 + $1 }
        counts[.crashInRollback] = set.crashedInRollback > 0 ? set.crashedInRollback : nil
        counts[.crashInInitialSync] = set.crashedInInitialSync > 0 ? set.crashedInInitialSync : nil
        counts[.lostTail] = set.members.reduce(0) { $0 + $1.lostTails }
        counts[.powerCut] = set.members.reduce(0) { $0 + $1.powerCuts }
        counts[.diskFails] = set.members.reduce(0) { $0 + $1.diskFailures }
        counts[.storageThrows] = set.members.reduce(0) { $0 + $1.storageFailures }
        return SeedReport(
            set, swarm, probes, faults: counts, operations: load.operations, isAvailable: isAvailable)
    }

    /// The liveness phase: a healed set elects, takes writes, and comes to agree.
    /// - Returns: false when the set is unavailable for good and may be.
    private func heal(_ set: SimulatedReplicaSet, _ load: Load) throws -> Bool {
        let world = set.world
        let healed = world.now
        do {
            try electInTime(set)
            try world.run(
                until: { load.lastAcknowledged > healed }, atMost: livenessLimit,
                "an acknowledged write after healing\n  \(set.summary)\n")
            try load.stop(within: livenessLimit)
            try set.runUntilConverged(within: livenessLimit)
            return true
        } catch let error as SimulationError where error.kind == .conditionNotReached {
            // Members without disks may have lost a majority's memory, also by two crashes that each looked harmless.
            let isExcused = swarm.isHostile || (!swarm.remembers && !set.canElect)
            guard isExcused else { throw error }
            set.timeline.add("LIVENESS", "unavailable for good, and excused: \(error.message)")
            return false
        }
    }

    /// Voters that are at work and could elect do it within two election timeouts (I27).
    private func electInTime(_ set: SimulatedReplicaSet) throws {
        let world = set.world
        let limit = set.timing.electionTimeout * 2
        var since: Instant?
        try world.run(
            until: {
                if set.primary != nil { return true }
                since = set.couldElectNow ? since ?? world.now : nil
                if let since, world.now - since > limit, !swarm.isHostile {
                    world.fail("a majority that could elect has not done so within \(limit)\n  \(set.summary)")
                }
                return false
            }, atMost: livenessLimit, "a primary\n  \(set.summary)\n")
    }

    /// At quiescence: data and indexes agree (I8, I9), entries that are applied twice change nothing (I10), nobody
    /// waits for anything, and no connection is left that nobody needs (I29).
    private func checkAtRest(_ set: SimulatedReplicaSet, _ load: Load) throws {
        load.close()
        // Longer than any wait of a getMore or of a client that left.
        try set.world.run(for: .seconds(6))
        try set.runUntilConverged(within: livenessLimit)
        for member in set.members where member.isAlive {
            guard let node = member.node else { continue }
            if node.openCursors > 0 { throw set.failure("\(member.name) has \(node.openCursors) cursors left over") }
            if node.waiterCount > 0 { throw set.failure("\(member.name) has \(node.waiterCount) waits left over") }
        }
        try checkConnections(set)
        try checkIdempotence(set)
    }

    /// One member needs two connections to another, for heartbeats and for its oplog, and clients that have closed
    /// none.
    private func checkConnections(_ set: SimulatedReplicaSet) throws {
        // Where elections never end, connections are always being made and closed.
        guard !swarm.isHostile else { return }
        let members = Set(set.members.map(\.name))
        for (from, to, count) in set.world.network.connectionCounts {
            let needed = members.contains(from) ? 2 : 0
            if count > needed { throw set.failure("\(from) has \(count) connections to \(to), and needs \(needed)") }
        }
    }

    private func checkIdempotence(_ set: SimulatedReplicaSet) throws {
        guard let member = set.secondaries.first, let node = member.node else { return }
        let before = try node.dataHash()
        // The last thing that happens in this world.
        try node.replayOplog(last: 50)
        if try node.dataHash() != before {
            throw set.failure("\(member.name) holds different data after its newest entries were applied again")
        }
    }
}
