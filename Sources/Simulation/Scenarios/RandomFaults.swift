import BSON
import Core

/// Draws what goes wrong next in a replica set, and puts it right again some time later.
///
/// A volatile member that crashes is a new member afterwards, so a crash is drawn only while the others could do
/// without it: losing a majority at once makes a set of volatile members unavailable for good, as promised, and proves
/// nothing.
struct RandomFaults {
    private let set: SimulatedReplicaSet
    private var generator: SeededGenerator
    /// What has been drawn, by name.
    private(set) var counts: [String: Int] = [:]
    private var isCut = false
    private var conditions: [String] = []

    init(_ set: SimulatedReplicaSet) {
        self.set = set
        generator = SeededGenerator(seed: set.world.seed, purpose: "faults of \(set.name)")
    }

    var total: Int { counts.values.reduce(0, +) }

    private mutating func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[Int(generator.next(below: UInt64(elements.count)))]
    }

    /// How long until the next fault.
    mutating func nextPause() -> Duration { .milliseconds(50 + Int64(generator.next(below: 1500))) }

    /// Lets one fault happen, or ends one.
    mutating func step() {
        switch generator.next(below: 10) {
        case 0, 1: crashOne()
        case 2, 3, 4: restartAll()
        case 5: pauseOne()
        case 6: cut()
        case 7: cutOneWay()
        case 8: disturbLinks()
        default: putRight()
        }
    }

    private mutating func count(_ name: String) { counts[name, default: 0] += 1 }

    private mutating func crashOne() {
        guard let primary = set.primary, !isCut else { return }
        let intact = set.members.filter { set.isIntact($0, primary: primary) }
        guard intact.count > set.members.count / 2 + 1 else { return }
        // As often the primary as all others together.
        let victim = generator.nextBool(probability: 0.5) ? primary : pick(intact)
        guard let victim else { return }
        count("crash")
        victim.crash(generator.nextBool(probability: 0.3) ? .halfOpen : .reset)
    }

    private mutating func restartAll() {
        for member in set.members where !member.isAlive { member.restart() }
    }

    private mutating func pauseOne() {
        guard let member = pick(set.members.filter { $0.isAlive && !$0.isPaused }) else { return }
        count("pause")
        member.pause()
        let length = Duration.milliseconds(20 + Int64(generator.next(below: 4000)))
        // The member's own timers are held while it is paused: somebody else wakes it.
        set.wake(member, after: length)
    }

    private mutating func cut() {
        guard let member = pick(set.members) else { return }
        var side = [member]
        if set.members.count > 3, let other = pick(set.members.filter { $0 !== member }) { side.append(other) }
        count("partition")
        isCut = true
        let rest = set.members.filter { one in !side.contains { $0 === one } }
        set.partition([side, rest])
    }

    private mutating func cutOneWay() {
        guard let from = pick(set.members), let to = pick(set.members.filter { $0 !== from }) else { return }
        count("one-way partition")
        isCut = true
        set.block(from: from, to: to)
    }

    private mutating func disturbLinks() {
        guard let a = pick(set.members), let b = pick(set.members.filter { $0 !== a }) else { return }
        if generator.nextBool(probability: 0.3) {
            count("reset")
            set.timeline.add("NETWORK", "RESET \(a.name) - \(b.name)")
            return set.world.apply(.resetConnections(a.name, b.name))
        }
        count("slow link")
        var link = LinkConditions()
        link.meanExtraDelay = .milliseconds(Int64(generator.next(below: 80)))
        link.lossProbability = generator.nextBool(probability: 0.5) ? 0.05 : 0
        link.resetProbability = generator.nextBool(probability: 0.3) ? 0.01 : 0
        link.splitProbability = 0.2
        set.timeline.add("NETWORK", "SLOW \(a.name) -> \(b.name)")
        set.world.apply(.link(from: a.name, to: b.name, link))
    }

    private mutating func putRight() {
        isCut = false
        set.heal()
    }

    /// Ends all faults.
    mutating func endAll() {
        putRight()
        for member in set.members {
            if member.isPaused { member.resume() }
            if !member.isAlive { member.restart() }
            for other in set.members where other !== member {
                set.world.network.setLink(from: member.name, to: other.name, .local)
            }
        }
    }
}
