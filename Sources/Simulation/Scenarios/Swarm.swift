public import Core
import Conformance
import ElectionPolicies
import ReadSelectors

/// What a seed stands for: the set, its clients, and which faults may happen how often.
///
/// Each run has only some of the faults, at rates of its own (swarm testing, Groce et al. 2012): a fault that is always
/// on hides what needs a long time without it.
public struct Swarm: Sendable {
    public var kinds: [MemberKind] = [.normal, .normal, .normal]
    public var spares: [MemberKind] = []
    public var policy: any ElectionPolicy = FastElectionPolicy()
    /// Policies of single members that differ from the set's.
    public var policies: [Int: any ElectionPolicy] = [:]
    /// Says whom members copy; nil for the nearest.
    public var syncSourceSelector: (any SyncSourceSelecting)?
    /// A policy never elects anybody, perhaps: nothing is demanded of liveness.
    public var isHostile = false
    /// Members have disks.
    public var remembers = false
    /// How long their disks take at most to flush; zero: what was written is safe at once. Otherwise a crash takes of
    /// the rest what chance has it.
    public var flushTime = Duration.zero
    /// Members that have disks keep their data in files; what is not synced is lost with the power.
    public var usesFiles = false
    /// Storage larger than memory: one read in so many finds nothing there. Nil for all in memory.
    public var notResidentOneIn: Int?
    /// A majority's memory may be lost.
    public var losesMajorities = false
    public var timing = SimulatedReplicaSet.Timing()
    public var oplogBytesMax: Int?
    /// How often a place that may behave oddly does.
    public var buggifyProbability = 0.0
    public var shufflesNodes = false
    /// Relative weights; a fault that is not there does not happen.
    public var faults: [(kind: FaultKind, weight: UInt64)] = []
    /// The mean time between two faults, or ends of faults.
    public var faultInterval: Duration = .milliseconds(800)
    /// How long faults happen.
    public var safetyPhase: Duration = .seconds(12)
    public var listClients = 2
    public var sessions = 2
    public var writers = true
    public var changesDefinitions = true
    public var expiresDocuments = true
    /// Bugs planted in the members.
    public var mutants: Mutants = []

    /// A set without faults.
    public init() {}

    /// What `seed` stands for.
    public init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed, purpose: "swarm")
        drawMembers(&generator)
        drawPolicies(&generator)
        drawSyncSourceSelector(seed)
        drawPaging(seed)
        shufflesNodes = generator.nextBool(probability: 0.5)
        remembers = generator.nextBool(probability: 0.5)
        if remembers, generator.nextBool(probability: 0.5) {
            flushTime = .microseconds(10 + Int64(generator.next(below: 20_000)))
        }
        losesMajorities = remembers || generator.nextBool(probability: 0.1)
        timing.catchUpTakeoverDelay = .milliseconds(500 + Int64(generator.next(below: 5000)))
        if generator.nextBool(probability: 0.5) {
            timing.electionTimeout = .milliseconds(250 + Int64(generator.next(below: 1500)))
            timing.heartbeatInterval = timing.electionTimeout / 5
        }
        if generator.nextBool(probability: 0.25) { oplogBytesMax = 4096 + Int(generator.next(below: 60_000)) }
        if generator.nextBool(probability: 0.4) { buggifyProbability = 0.02 + generator.nextFraction() * 0.3 }
        drawFaults(&generator)
        drawDiskFaults(seed)
        listClients = 1 + Int(generator.next(below: 3))
        sessions = Int(generator.next(below: 4))
        writers = generator.nextBool(probability: 0.6)
        changesDefinitions = generator.nextBool(probability: 0.3)
        expiresDocuments = generator.nextBool(probability: 0.3)
    }

    private mutating func drawFaults(_ generator: inout SeededGenerator) {
        // Some runs are storms of what makes histories branch, others have a little of everything.
        if generator.nextBool(probability: 0.4) {
            faultInterval = .milliseconds(60 + Int64(generator.next(below: 400)))
            let storm: [FaultKind] = [
                .partition, .partial, .bridge, .oneWay, .crash, .pause, .stepUp, .stepDown, .slowLink, .restartLoop,
                .crashInRollback, .crashInInitialSync,
            ]
            for kind in storm where generator.nextBool(probability: 0.6) {
                faults.append((kind, 1 + generator.next(below: 4)))
            }
        } else {
            faultInterval = .milliseconds(200 + Int64(generator.next(below: 1500)))
            for kind in FaultKind.allCases
            where !kind.isOfWorkload && !kind.isOfDisk && generator.nextBool(probability: 0.4) {
                faults.append((kind, 1 + generator.next(below: 4)))
            }
        }
    }

    /// A generator of its own, so that a seed stands for the same set with or without them.
    private mutating func drawDiskFaults(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed, purpose: "disks")
        if flushTime > .zero, generator.nextBool(probability: 0.5) {
            faults.append((.diskStalls, 1 + generator.next(below: 4)))
        }
        if remembers, generator.nextBool(probability: 0.4) { useFiles(seed: seed) }
    }

    /// Lets the members keep their data in files, on disks that fail as the seed has it.
    public mutating func useFiles(seed: UInt64) {
        guard !usesFiles else { return }
        (remembers, losesMajorities, usesFiles) = (true, true, true)
        var generator = SeededGenerator(seed: seed, purpose: "files")
        for kind: FaultKind in [.powerCut, .diskFails, .diskFull, .diskStalls]
        where !faults.contains(where: { $0.kind == kind }) && generator.nextBool(probability: 0.6) {
            faults.append((kind, 1 + generator.next(below: 4)))
        }
    }

    private mutating func drawMembers(_ generator: inout SeededGenerator) {
        // Mostly three, often five: that is where histories branch.
        let count = [1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7][Int(generator.next(below: 13))]
        kinds = Array(repeating: .normal, count: count)
        if count >= 3, generator.nextBool(probability: 0.4) {
            // The first stays as it is: it initiates, and must be electable.
            for index in 1..<count where generator.nextBool(probability: 0.4) {
                kinds[index] = Self.drawKind(&generator)
            }
            // Two members that hold data and vote are what a primary needs to lose nothing by one crash.
            if kinds.count(where: { $0.votes > 0 && !$0.isArbiter }) < 2 { kinds[1] = .normal }
        }
        let spareCount = min(Int(generator.next(below: 3)), 7 - count)
        for _ in 0..<spareCount {
            spares.append(generator.nextBool(probability: 0.7) ? .normal : Self.drawKind(&generator))
        }
    }

    private static func drawKind(_ generator: inout SeededGenerator) -> MemberKind {
        switch generator.next(below: 7) {
        case 0: .arbiter
        case 1: .hidden
        case 2: .nonVoting
        case 3: MemberKind(priority: 0)
        case 4:
            MemberKind(
                priority: 0, isHidden: generator.nextBool(probability: 0.5),
                delay: .seconds(1 + Int64(generator.next(below: 3))))
        default: MemberKind(priority: 1 + Int(generator.next(below: 3)))
        }
    }

    private static let hostile: [HostileElectionPolicy.Manner] = [.always, .never, .random]

    private mutating func drawPolicies(_ generator: inout SeededGenerator) {
        policy = generator.nextBool(probability: 0.5) ? FastElectionPolicy() : MongoDBElectionPolicy()
        guard generator.nextBool(probability: 0.06) else { return }
        isHostile = true
        for index in 0..<(kinds.count + spares.count) where generator.nextBool(probability: 0.7) {
            policies[index] = HostileElectionPolicy(Self.hostile[Int(generator.next(below: 3))])
        }
    }

    /// A generator of its own, so that a seed stands for the same faults with or without a selector. However bad, a
    /// selector is no excuse: all that is demanded of other sets is demanded of these.
    private mutating func drawSyncSourceSelector(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed, purpose: "sync sources")
        guard generator.nextBool(probability: 0.1) else { return }
        let manners = HostileReadSelector.Manner.allCases
        let drawn = Int(generator.next(below: UInt64(manners.count + 2)))
        syncSourceSelector =
            switch drawn - manners.count {
            case 0: NearestStrict()
            case 1: LeastLag()
            default: HostileReadSelector(manners[drawn])
            }
    }

    /// A generator of its own, too. With 1 every read waits that is not one of what was prefetched a moment ago.
    private mutating func drawPaging(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed, purpose: "paging")
        guard generator.nextBool(probability: 0.25) else { return }
        notResidentOneIn = [1, 2, 4, 10, 30, 100, 300, 1000][Int(generator.next(below: 8))]
    }

    /// The faults that may be drawn in a set like this.
    var possibleFaults: [(kind: FaultKind, weight: UInt64)] {
        let isDelayed = (kinds + spares).contains { $0.delay > .zero }
        return faults.filter { (losesMajorities || !$0.kind.needsMemory) && !(isDelayed && $0.kind.movesClock) }
    }
}
