import BSON
import Core

/// Draws what goes wrong next in a replica set, and puts it right again some time later.
struct RandomFaults {
    let set: SimulatedReplicaSet
    let swarm: Swarm
    let load: Load
    /// The names of the clients' nodes.
    let clients: [String]
    var generator: SeededGenerator
    /// What has happened, by kind.
    private(set) var counts: [FaultKind: Int] = [:]
    var isCut = false
    /// Nothing else happens for so long: a cut has its effect when elections time out.
    var hold: Duration?
    /// Ends with the faults: what they have planned is not done any more.
    let end = FaultsEnd()
    private let possible: [(kind: FaultKind, weight: UInt64)]

    final class FaultsEnd { var hasCome = false }

    init(_ set: SimulatedReplicaSet, _ swarm: Swarm, _ load: Load) {
        self.set = set
        self.swarm = swarm
        self.load = load
        clients = load.names
        generator = SeededGenerator(seed: set.world.seed, purpose: "faults of \(set.name)")
        possible = swarm.possibleFaults
    }

    mutating func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[Int(generator.next(below: UInt64(elements.count)))]
    }

    mutating func milliseconds(_ range: Range<Int64>) -> Duration {
        .milliseconds(range.lowerBound + Int64(generator.next(below: UInt64(range.upperBound - range.lowerBound))))
    }

    var alive: [SimulatedMember] { self.set.members.filter { $0.isAlive && !$0.isPaused } }

    /// How long until the next fault.
    mutating func nextPause() -> Duration {
        if let hold {
            self.hold = nil
            return hold
        }
        return .nanoseconds(Int64(generator.nextFraction() * 2 * Double(swarm.faultInterval.nanoseconds)))
    }

    /// Lets one fault happen, or ends some.
    mutating func step() {
        switch generator.next(below: 10) {
        case 0: putRight()
        case 1, 2, 3: restartAll()
        default:
            guard let kind = draw(), happen(kind) else { return }
            counts[kind, default: 0] += 1
        }
    }

    private mutating func draw() -> FaultKind? {
        let total = possible.reduce(0) { $0 + $1.weight }
        var place = generator.next(below: total)
        for (kind, weight) in possible {
            if place < weight { return kind }
            place -= weight
        }
        return nil
    }

    /// Lets a fault of that kind happen; false when there is nobody it could happen to.
    private mutating func happen(_ kind: FaultKind) -> Bool {
        switch kind {
        case .crash: crashOne(.reset)
        case .crashHalfOpen: crashOne(.halfOpen)
        case .crashMajority: crashSeveral(set.members.count / 2 + 1)
        case .crashAll: crashSeveral(set.members.count)
        case .restartLoop: restartLoop()
        case .crashInInitialSync: crashInInitialSync()
        case .crashInRollback: crashInRollback()
        case .pause: pauseOne()
        case .slowCPU: slowCPU()
        case .lostDisk: loseDisk()
        case .storageThrows: failStorage()
        case .diskStalls: stallDisk()
        case .lostTail: false  // crashes do it
        case .powerCut: pick(alive)?.cutPower(afterCalls: Int(generator.next(below: 40))) ?? false
        case .diskFails: pick(alive)?.failDisk(afterCalls: Int(generator.next(below: 40))) ?? false
        case .diskFull: fillDisk()
        case .slowLink, .loss, .reorder: disturbLinks(kind)
        case .partition: cut()
        case .oneWay: cutOneWay()
        case .partial: cutPair()
        case .bridge: bridge()
        case .flapping: flap()
        case .swizzle: swizzle()
        case .reset: reset()
        case .resetMidMessage: breakMessages(thenReset: true)
        case .halfMessage: breakMessages(thenReset: false)
        case .lostAnswers: loseAnswers()
        case .clockJump: jumpClock()
        case .clockDrift: driftClock()
        case .clockStrobe: strobeClock()
        case .clockFrozen: freezeClock()
        case .stepDown: stepDown()
        case .stepUp:
            command("step-up", ["replSetStepUp": 1, "skipDryRun": .bool(generator.nextBool(probability: 0.5))])
        case .freeze: command("freeze", ["replSetFreeze": .int32(1 + Int32(generator.next(below: 3)))])
        case .addMember: addMember()
        case .removeMember: removeMember()
        case .changePriority: changePriority()
        case .sourceDies: killChainedSource()
        case .clientDies: visit()
        case .duplicate, .killedCursor, .sharedSession: false  // the workload does them
        }
    }

    func restartAll() { for member in set.members where !member.isAlive { member.restart() } }

    mutating func putRight() {
        isCut = false
        set.heal()
    }

    /// Ends all faults.
    mutating func endAll() {
        end.hasCome = true
        set.crashesInRollback = nil
        set.crashesInInitialSync = nil
        putRight()
        let nodes = set.members.map(\.name) + clients
        for from in nodes {
            for to in nodes where from != to { set.world.network.setLink(from: from, to: to, .local) }
        }
        set.world.network.resetHalfMessages()
        for member in set.members {
            member.calmDisk()
            member.mendStorage()
            if member.isPaused { member.resume() }
            if !member.isAlive { member.restart() }
            set.world.apply(.clockDrift(member.name, partsPerMillion: 0))
        }
    }
}
