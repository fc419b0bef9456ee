import BSON
import Core

@testable import Sharding

/// A small world in which one range moves: a donor, a recipient and the config servers, each a replica set whose
/// primary may die at any moment and lose what a majority has not got. All that can happen next is `steps`; a search
/// goes through every order of them.
///
/// One key stands for the range; its value is the number of the last write. Messages stay in the network: one may come
/// late, twice, or (in a world that ends before it comes) never.
struct MigrationWorld: Hashable {
    /// An entry of a replica set's oplog.
    enum Entry<Checkpoint: Hashable & Sendable>: Hashable {
        /// A write, by its number; at the recipient also a copied one.
        case write(Int)
        /// A write that a client made at the recipient.
        case ownWrite(Int)
        case checkpoint(Checkpoint)
        case copiesDeleted
    }

    /// A replica set with its machine.
    struct Node<Steps: Course>: Hashable {
        typealias Log = [Entry<Steps.Checkpoint>]
        var machine: StepMachine<Steps>
        var log: Log = []
        /// How many entries a majority has.
        var durable = 0

        var durableLog: ArraySlice<Entry<Steps.Checkpoint>> { log[..<durable] }
    }

    enum Message: Hashable, Comparable {
        case begin, steady, settled, askOutcome, askToCommit, askToAbort, look, undecided
        case drain(Int), drained(Int)
        case decidedCommitted, decidedAborted, tellCommitted, tellAborted
    }

    struct Budget: Hashable {
        var writes = 2
        var crashes = 2
        var aborts = 1
    }

    var donor: Node<MigrationDonor>
    var recipient: Node<MigrationRecipient>
    /// The config servers' records, and how many a majority has.
    var registry: MigrationRegistry
    var decisions: [MigrationRegistry.Record] = []
    var durableDecisions = 0
    var messages: Set<Message> = []
    var budget: Budget
    /// A copy that the donor has answered with and the recipient has not stored yet: the write, and how far it reaches.
    var inFlight: [Int] = []
    /// How far the recipient has followed the donor's oplog.
    var stored = 0
    var mayCopy = false
    var mustDelete = false
    var lastWrite = 0
    var acknowledged = 0
    var rolledBack: Set<Int> = []
    let mutants: Mutants

    static let id = MigrationID(CollectionUUID(high: 1, low: 1))
    static let epoch = Epoch(Timestamp(seconds: 1, increment: 1))
    static let table = try? RoutingTable(
        Namespace("d", "c"), chunks: [Chunk(.all, on: ShardID("d"), PlacementVersion(epoch, major: 1, minor: 0))],
        majors: [ShardID("d"): 1, ShardID("r"): 1])
    static let moment = Timestamp(seconds: 9, increment: 1)
    static let task = MigrationRegistry.Task(donor: ShardID("d"), recipient: ShardID("r"), range: .all, epoch: epoch)

    init(_ mutants: Mutants, budget: Budget = Budget()) {
        self.mutants = mutants
        self.budget = budget
        donor = Node(machine: StepMachine(MigrationDonor(mutants: mutants), mutants: mutants))
        recipient = Node(machine: StepMachine(MigrationRecipient(mutants: mutants), mutants: mutants))
        registry = MigrationRegistry(found: [Self.id: .live(Self.task)], mutants: mutants)
        registry.onRecovered()
        decisions = [.live(Self.task)]
        durableDecisions = 1
        run(donor.machine.onStart(.cloning))
    }

    // MARK: What is true in a log

    static func optime(_ position: Int) -> OpTime {
        OpTime(term: 1, timestamp: Timestamp(seconds: 1, increment: UInt32(position)))
    }
    static func position(_ time: OpTime) -> Int { time.isNull ? 0 : Int(time.timestamp.increment) }

    struct DonorState {
        var owns = true
        var writes = true
        var reads = true
    }

    static func state(_ log: ArraySlice<Entry<MigrationDonor.Checkpoint>>) -> DonorState {
        var state = DonorState()
        for case .checkpoint(let checkpoint) in log {
            switch checkpoint {
            case .writesClosed: state.writes = false
            case .readsClosed: state.reads = false
            case .aborted: state = DonorState()
            case .committed: state = DonorState(owns: false, writes: false, reads: false)
            case .cloning, .aborting, .ended: break
            }
        }
        return state
    }

    static func lastValue<C>(_ log: ArraySlice<Entry<C>>) -> Int {
        var value = 0
        for entry in log {
            switch entry {
            case .write(let number), .ownWrite(let number): value = number
            case .copiesDeleted: value = 0
            case .checkpoint: break
            }
        }
        return value
    }

    static func owns(_ log: ArraySlice<Entry<MigrationRecipient.Checkpoint>>) -> Bool {
        log.contains { if case .checkpoint(.owning) = $0 { true } else { false } }
    }

    // MARK: What the shells do

    mutating func run(_ directives: [StepMachine<MigrationDonor>.Directive]) {
        for directive in directives {
            switch directive {
            case .persist(let checkpoint): donor.log.append(.checkpoint(checkpoint))
            case .carryOut(let work):
                switch work {
                case .begin: messages.insert(.begin)
                case .drain(let through): messages.insert(.drain(Self.position(through)))
                case .askToCommit: messages.insert(.askToCommit)
                case .askToAbort: messages.insert(.askToAbort)
                case .look: messages.insert(.look)
                case .tell(.committed): messages.insert(.tellCommitted)
                case .tell(.aborted): messages.insert(.tellAborted)
                case .deleteRange: break
                }
            case .awaitMajority, .setTimer, .end, .ignored: break
            }
        }
    }

    mutating func run(_ directives: [StepMachine<MigrationRecipient>.Directive]) {
        for directive in directives {
            switch directive {
            case .persist(let checkpoint): recipient.log.append(.checkpoint(checkpoint))
            case .carryOut(let work):
                switch work {
                case .copy: mayCopy = true
                case .tellSteady: messages.insert(.steady)
                case .tellDrained(let through): messages.insert(.drained(Self.position(through)))
                case .askOutcome: messages.insert(.askOutcome)
                case .deleteCopies: mustDelete = true
                case .tellSettled: messages.insert(.settled)
                }
            case .awaitMajority, .setTimer, .end, .ignored: break
            }
        }
    }

    mutating func run(_ directives: [MigrationRegistry.Directive], isLook: Bool = false) {
        for directive in directives {
            switch directive {
            case .persist(_, let record, _): decisions.append(record)
            case .answer(_, .committed):
                messages.insert(.decidedCommitted)
                if messages.contains(.askOutcome) { messages.insert(.tellCommitted) }
            case .answer(_, .aborted):
                messages.insert(.decidedAborted)
                if messages.contains(.askOutcome) { messages.insert(.tellAborted) }
            case .answerUndecided: if isLook { messages.insert(.undecided) }
            case .ignored: break
            }
        }
    }

    mutating func deliver(_ message: Message) {
        let committed = MigrationOutcome.committed(validAfter: Self.moment, major: 2)
        switch message {
        case .begin:
            guard recipient.machine.checkpoint == nil, recipient.machine.pending == nil else { return }
            run(recipient.machine.onStart(.receiving))
        case .drain(let target):
            run(
                recipient.machine.onEvent(
                    .drainRequested(through: Self.optime(target), stored: Self.optime(stored))))
        case .tellCommitted: run(recipient.machine.onEvent(.decided(committed)))
        case .decidedCommitted: run(donor.machine.onEvent(.decided(committed)))
        case .decidedAborted: run(donor.machine.onEvent(.decided(.aborted)))
        case .tellAborted:
            // Who has nothing of a migration has nothing to write down.
            if recipient.machine.checkpoint == nil, recipient.machine.pending == nil { messages.insert(.settled) }
            run(recipient.machine.onEvent(.decided(.aborted)))
        case .steady: run(donor.machine.onEvent(.recipientSteady))
        case .drained(let through): run(donor.machine.onEvent(.recipientDrained(through: Self.optime(through))))
        case .settled: run(donor.machine.onEvent(.recipientSettled))
        case .undecided: run(donor.machine.onEvent(.undecided))
        case .askToCommit: run(registry.onRequest(.commit, Self.id, Self.table, now: Self.moment))
        case .askToAbort: run(registry.onRequest(.abort, Self.id, Self.table, now: Self.moment))
        case .askOutcome: run(registry.onRequest(.outcome, Self.id, Self.table, now: Self.moment))
        case .look: run(registry.onRequest(.outcome, Self.id, Self.table, now: Self.moment), isLook: true)
        }
    }

    // MARK: Majorities and crashes

    mutating func commitDonor() {
        let first = donor.durable
        donor.durable = donor.log.count
        for case .write(let number) in donor.log[first...] { acknowledged = max(acknowledged, number) }
        guard let pending = donor.machine.pending,
            let place = donor.log.lastIndex(of: .checkpoint(pending))
        else { return }
        run(donor.machine.onCommitted(at: Self.optime(place + 1)))
    }

    mutating func commitRecipient() {
        let first = recipient.durable
        recipient.durable = recipient.log.count
        for case .ownWrite(let number) in recipient.log[first...] { acknowledged = max(acknowledged, number) }
        guard let pending = recipient.machine.pending,
            let place = recipient.log.lastIndex(of: .checkpoint(pending))
        else { return }
        run(recipient.machine.onCommitted(at: Self.optime(place + 1)))
    }

    mutating func commitConfig() {
        durableDecisions = decisions.count
        run(registry.onCommitted(Self.id))
    }

    /// The primary dies; the next one has so many entries.
    mutating func crashDonor(keeping count: Int) {
        for case .write(let number) in donor.log[count...] { rolledBack.insert(number) }
        donor.log.removeSubrange(count...)
        donor.machine = StepMachine(MigrationDonor(mutants: mutants), mutants: mutants)
        // Before the first checkpoint there is no migration: it is asked for again.
        run(Self.lastCheckpoint(donor.log).map { donor.machine.onRecovered($0) } ?? donor.machine.onStart(.cloning))
    }

    mutating func crashRecipient(keeping count: Int) {
        for case .ownWrite(let number) in recipient.log[count...] { rolledBack.insert(number) }
        recipient.log.removeSubrange(count...)
        recipient.machine = StepMachine(MigrationRecipient(mutants: mutants), mutants: mutants)
        (stored, mayCopy, mustDelete, inFlight) = (0, false, false, [])
        if let found = Self.lastCheckpoint(recipient.log) { run(recipient.machine.onRecovered(found)) }
    }

    mutating func crashConfig(keeping count: Int) {
        decisions.removeSubrange(count...)
        registry = MigrationRegistry(found: [Self.id: decisions[count - 1]], mutants: mutants)
        durableDecisions = count
        registry.onRecovered()
    }

    static func lastCheckpoint<C>(_ log: [Entry<C>]) -> C? {
        for entry in log.reversed() { if case .checkpoint(let checkpoint) = entry { return checkpoint } }
        return nil
    }
}
