import BSON
import Core
import Testing

@testable import Sharding

extension MigrationWorld {
    /// Everything that can happen next. What the world around does (writes, crashes, giving up) is bounded.
    var steps: [(name: String, isOfTheWorld: Bool, change: (inout MigrationWorld) -> Void)] {
        var steps: [(name: String, isOfTheWorld: Bool, change: (inout MigrationWorld) -> Void)] = []
        for message in messages.sorted() { steps.append(("\(message)", false, { $0.deliver(message) })) }
        if donor.durable < donor.log.count || donor.machine.pending != nil {
            steps.append(("donor's majority", false, { $0.commitDonor() }))
        }
        if recipient.durable < recipient.log.count || recipient.machine.pending != nil {
            steps.append(("recipient's majority", false, { $0.commitRecipient() }))
        }
        if durableDecisions < decisions.count { steps.append(("config's majority", false, { $0.commitConfig() })) }
        if mayCopy, inFlight.isEmpty {
            let reaches = mutants.contains(.migrationClonesUncommitted) ? donor.log.count : donor.durable
            if reaches > stored {
                let value = Self.lastValue(donor.log[..<reaches])
                steps.append(("recipient fetches", false, { $0.inFlight = [value, reaches] }))
            }
        }
        if !inFlight.isEmpty { steps.append(("recipient stores", false, { $0.store() })) }
        if mustDelete { steps.append(("recipient deletes copies", false, { $0.deleteCopies() })) }
        if budget.writes > 0 {
            if Self.state(donor.log[...]).writes { steps.append(("write at the donor", true, { $0.writeAtDonor() })) }
            if Self.owns(recipient.log[...]), recipient.machine.pending == nil {
                steps.append(("write at the recipient", true, { $0.writeAtRecipient() }))
            }
        }
        if budget.aborts > 0 {
            steps.append(
                (
                    "donor gives up", true,
                    {
                        $0.budget.aborts -= 1
                        $0.run($0.donor.machine.onEvent(.giveUp))
                    }
                ))
        }
        guard budget.crashes > 0 else { return steps }
        for count in Set([donor.durable, donor.log.count]).sorted() {
            steps.append(
                (
                    "donor's primary dies, \(donor.log.count - count) entries are lost", true,
                    {
                        $0.budget.crashes -= 1
                        $0.crashDonor(keeping: count)
                    }
                ))
        }
        for count in Set([recipient.durable, recipient.log.count]).sorted() {
            steps.append(
                (
                    "recipient's primary dies, \(recipient.log.count - count) entries are lost", true,
                    {
                        $0.budget.crashes -= 1
                        $0.crashRecipient(keeping: count)
                    }
                ))
        }
        for count in Set([durableDecisions, decisions.count]).sorted() {
            steps.append(
                (
                    "config's primary dies, \(decisions.count - count) decisions are lost", true,
                    {
                        $0.budget.crashes -= 1
                        $0.crashConfig(keeping: count)
                    }
                ))
        }
        return steps
    }

    private mutating func store() {
        let (value, reaches) = (inFlight[0], inFlight[1])
        inFlight = []
        guard recipient.machine.mayStore(mutants: mutants) else { return }
        if value > 0, Self.lastValue(recipient.log[...]) != value { recipient.log.append(.write(value)) }
        stored = max(stored, reaches)
        run(recipient.machine.onEvent(.caughtUp(through: Self.optime(stored))))
    }

    private mutating func deleteCopies() {
        mustDelete = false
        mayCopy = false
        recipient.log.append(.copiesDeleted)
        run(recipient.machine.onEvent(.copiesDeleted))
    }

    private mutating func writeAtDonor() {
        budget.writes -= 1
        lastWrite += 1
        donor.log.append(.write(lastWrite))
    }

    private mutating func writeAtRecipient() {
        budget.writes -= 1
        lastWrite += 1
        recipient.log.append(.ownWrite(lastWrite))
    }

    /// What is wrong, if something is.
    var fault: String? {
        let donorState = Self.state(donor.log[...])
        let recipientOwns = Self.owns(recipient.log[...])
        if donorState.writes, recipientOwns { return "two owners take writes" }
        switch recipient.machine.checkpoint {
        case .discarding, .discarded: if !Self.state(donor.durableLog).owns { return "nobody owns the range" }
        default: break
        }
        let atDonor = Self.lastValue(donor.log[...])
        let atRecipient = Self.lastValue(recipient.log[...])
        if donorState.reads, atDonor < acknowledged { return "the donor serves reads without an acknowledged write" }
        if recipientOwns {
            if atRecipient < acknowledged { return "the recipient owns the range without an acknowledged write" }
            if rolledBack.contains(atRecipient) { return "the recipient has a write that was rolled back" }
        }
        // A causal read at a member of the donor that has all that a majority has, and nothing else.
        let hasOwnWrite = recipient.log.contains { if case .ownWrite = $0 { true } else { false } }
        if hasOwnWrite, Self.state(donor.durableLog).reads {
            return "the donor's members serve reads of the past as of now"
        }
        if recipient.machine.checkpoint == .discarded, recipient.machine.pending == nil, atRecipient > 0 {
            return "copies are left behind an abort"
        }
        return nil
    }

    /// Whether nothing is left to do.
    var isOver: Bool { donor.machine.isOver && (recipient.machine.isOver || recipient.machine.checkpoint == nil) }
}

/// Every order of what can happen to a migration in a small world.
@Suite struct MigrationModelTests {
    struct Finding {
        let what: String
        let path: [String]
    }

    struct Search {
        var worlds = 0
        var committed = 0
        var aborted = 0
        var finding: Finding?
    }

    /// Breadth first, so that a finding has the shortest path.
    static func search(_ mutants: Mutants, budget: MigrationWorld.Budget, max: Int) -> Search {
        var result = Search()
        let first = MigrationWorld(mutants, budget: budget)
        var seen: Set<MigrationWorld> = [first]
        var queue: [(world: MigrationWorld, from: Int, by: String)] = [(first, -1, "")]
        var at = 0
        func path(_ index: Int) -> [String] {
            var path: [String] = []
            var index = index
            while index > 0 {
                path.append(queue[index].by)
                index = queue[index].from
            }
            return path.reversed()
        }
        while at < queue.count, queue.count < max {
            let world = queue[at].world
            if let fault = world.fault {
                result.finding = Finding(what: fault, path: path(at))
                break
            }
            var goesOn = false
            for step in world.steps {
                var next = world
                step.change(&next)
                guard next != world else { continue }
                if !step.isOfTheWorld { goesOn = true }
                guard seen.insert(next).inserted else { continue }
                queue.append((next, at, step.name))
            }
            if !goesOn, !world.isOver {
                result.finding = Finding(what: "the migration never ends", path: path(at))
                break
            }
            if world.isOver {
                if MigrationWorld.owns(world.recipient.log[...]) { result.committed += 1 } else { result.aborted += 1 }
            }
            // What was looked at needs not be kept whole.
            at += 1
        }
        result.worlds = at
        if result.finding == nil, at < queue.count {
            result.finding = Finding(what: "more than \(max) worlds", path: [])
        }
        return result
    }

    @Test(
        "in no order of writes, crashes and giving up are there two owners, a lost write, a stale read or a copy left")
    func everyOrder() {
        let budgets = [
            MigrationWorld.Budget(writes: 3, crashes: 2, aborts: 0), .init(writes: 2, crashes: 2, aborts: 1),
            .init(writes: 1, crashes: 3, aborts: 0),
        ]
        for budget in budgets {
            let search = Self.search([], budget: budget, max: 2_000_000)
            #expect(search.finding == nil, "\(search.finding?.what ?? ""): \(search.finding?.path ?? [])")
            #expect(search.committed > 0)
            print(
                "migration model \(budget): \(search.worlds) worlds, \(search.committed) committed, "
                    + "\(search.aborted) aborted"
            )
        }
    }

    @Test("a planted bug is found", arguments: Mutants.ofSharding.map(\.name))
    func planted(_ name: String) throws {
        let mutant = try #require(Mutants.ofSharding.first { $0.name == name }?.mutant)
        try #require(Mutants.areBuiltIn)
        for budget in [
            MigrationWorld.Budget(writes: 1, crashes: 0, aborts: 0), .init(writes: 2, crashes: 0, aborts: 1),
            .init(writes: 2, crashes: 1, aborts: 0), .init(writes: 1, crashes: 1, aborts: 1),
            .init(writes: 1, crashes: 2, aborts: 0),
        ] {
            let search = Self.search(mutant, budget: budget, max: 2_000_000)
            guard let finding = search.finding, finding.what.hasPrefix("more") == false else { continue }
            print("\(name): \(finding.what) after \(finding.path.joined(separator: "; "))")
            return
        }
        Issue.record("\(name) is not found")
    }
}
