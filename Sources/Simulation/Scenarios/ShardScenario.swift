import Core

/// A run of a cluster under load, moves and faults: members of all sets crash and come back, are paused and cut off.
public struct ShardScenario {
    /// What it has come to.
    public struct Outcome {
        public var acknowledged: Int64 = 0
        public var reads = 0
        public var moves = 0
        public var faults = 0
    }

    let mutants: Mutants

    /// - Parameter mutants: planted bugs.
    public init() { mutants = [] }
    init(mutants: Mutants) { self.mutants = mutants }

    /// Plays one seed.
    /// - Throws: what a checker has found.
    public func run(seed: UInt64, seconds: Int64 = 20, faults: Bool = true) throws -> Outcome {
        let world = SimulatedWorld(seed: seed)
        var chance = SeededGenerator(seed: seed, purpose: "shards")
        world.hooks = SimulationHooks(mutants: mutants, onProbe: { _ in }, onBuggify: { _ in false })
        let cluster = SimulatedCluster(world)
        try cluster.start(splitAt: 20)
        let workload = ShardWorkload(cluster)
        try workload.load()
        workload.start()
        var outcome = Outcome()
        let end = world.now + .seconds(seconds)
        while world.now < end {
            try world.run(for: .milliseconds(Int64(chance.next() % 1000)))
            guard faults else { continue }
            if inject(cluster, &chance) { outcome.faults += 1 }
        }
        for set in cluster.sets { set.heal() }
        for member in cluster.members {
            if member.isPaused { member.resume() }
            if !member.isAlive { member.restart() }
        }
        try workload.stop()
        for set in cluster.sets { try set.runUntilConverged(within: .seconds(120)) }
        try workload.check()
        outcome.acknowledged = workload.acknowledged
        outcome.reads = workload.reads
        outcome.moves = workload.moves
        return outcome
    }

    /// One fault, most often of a primary; what was out of order before comes back first, so that a set keeps its
    /// majority.
    private func inject(_ cluster: SimulatedCluster, _ chance: inout SeededGenerator) -> Bool {
        let set = cluster.sets[Int(chance.next() % UInt64(cluster.sets.count))]
        set.heal()
        var wasBroken = false
        for member in set.members {
            if member.isPaused {
                member.resume()
                wasBroken = true
            }
            if !member.isAlive {
                member.restart()
                wasBroken = true
            }
        }
        if wasBroken { return false }
        let victim =
            chance.next() % 4 == 0 ? set.members[Int(chance.next() % UInt64(set.members.count))] : set.primary
        guard let victim, victim.isAlive else { return false }
        switch chance.next() % 4 {
        case 0: victim.pause()
        case 1: set.isolate(victim)
        default: victim.crash()
        }
        return true
    }
}
