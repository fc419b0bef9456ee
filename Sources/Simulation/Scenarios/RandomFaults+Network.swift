import Core

/// Cuts, slow links and broken messages.
extension RandomFaults {
    private mutating func pair() -> (SimulatedMember, SimulatedMember)? {
        guard let a = pick(set.members), let b = pick(set.members.filter { $0 !== a }) else { return nil }
        return (a, b)
    }

    /// Cuts that add up leave nobody a majority, and then nothing happens any more.
    private mutating func healFirst() { if generator.nextBool(probability: 0.8) { putRight() } }

    mutating func cut() -> Bool {
        guard set.members.count > 1, let other = pick(set.members) else { return false }
        // Mostly the primary's side: what it writes there alone is taken back.
        let member = generator.nextBool(probability: 0.5) ? set.primary ?? other : other
        var side = [member]
        for other in set.members where other !== member && side.count < set.members.count / 2 {
            if generator.nextBool(probability: 0.4) { side.append(other) }
        }
        healFirst()
        isCut = true
        if generator.nextBool(probability: 0.5) { hold = swarm.timing.electionTimeout * 2 }
        let rest = set.members.filter { one in !side.contains { $0 === one } }
        // Clients are on one side, or on both.
        let onSide = generator.nextBool(probability: 0.3)
        set.partition([side, rest])
        if generator.nextBool(probability: 0.4) {
            for member in onSide ? rest : side {
                for client in clients { set.cut(member.name, client) }
            }
        }
        return true
    }

    mutating func cutOneWay() -> Bool {
        guard let (from, to) = pair() else { return false }
        isCut = true
        set.block(from: from, to: to)
        return true
    }

    /// Two members do not see each other; all others see both.
    mutating func cutPair() -> Bool {
        guard set.members.count > 2, let (a, b) = pair() else { return false }
        isCut = true
        set.timeline.add("NETWORK", "CUT \(a.name) - \(b.name)")
        set.cut(a.name, b.name)
        return true
    }

    /// Two halves that only one member sees both of.
    mutating func bridge() -> Bool {
        guard set.members.count > 2, let middle = pick(set.members) else { return false }
        var halves: [[SimulatedMember]] = [[], []]
        for (index, member) in set.members.filter({ $0 !== middle }).enumerated() { halves[index % 2].append(member) }
        healFirst()
        isCut = true
        set.partition(halves)
        return true
    }

    mutating func flap() -> Bool {
        guard let (a, b) = pair() else { return false }
        isCut = true
        set.timeline.add("NETWORK", "FLAPPING \(a.name) - \(b.name)")
        var at = Duration.zero
        for _ in 0..<(5 + generator.next(below: 20)) {
            set.later(at) { [end, set] in if !end.hasCome { set.cut(a.name, b.name) } }
            at += milliseconds(1..<300)
            set.later(at) { [set] in set.join(a.name, b.name) }
            at += milliseconds(1..<300)
        }
        return true
    }

    /// Some members are cut off one after another, and come back in another order (FoundationDB's "swizzle-clogging").
    mutating func swizzle() -> Bool {
        let victims = set.members.filter { _ in generator.nextBool(probability: 0.5) }
        guard set.members.count > 1, !victims.isEmpty else { return false }
        isCut = true
        set.timeline.add("NETWORK", "SWIZZLE \(victims.map(\.name))")
        let all = milliseconds(100..<3000)
        for victim in victims {
            let others = set.members.filter { $0 !== victim }.map(\.name)
            set.later(milliseconds(0..<500)) { [end, set] in
                if !end.hasCome { for other in others { set.cut(victim.name, other) } }
            }
            set.later(all + milliseconds(500..<1000)) { [set] in for other in others { set.join(victim.name, other) } }
        }
        return true
    }

    mutating func disturbLinks(_ kind: FaultKind) -> Bool {
        let nodes = set.members.map(\.name) + clients
        guard let a = pick(nodes), let b = pick(nodes.filter { $0 != a }) else { return false }
        var link = LinkConditions()
        link.splitProbability = 0.2
        switch kind {
        case .loss:
            link.lossProbability = 0.02 + generator.nextFraction() * 0.2
            link.resetProbability = generator.nextBool(probability: 0.3) ? 0.01 : 0
        case .reorder:
            // Connections of one pair overtake one another: most messages are quick, many are late.
            link.tailProbability = 0.3
            link.tailDelay = milliseconds(1..<100)
        default: link.meanExtraDelay = milliseconds(1..<200)
        }
        set.timeline.add("NETWORK", "\(kind.rawValue.uppercased()) \(a) -> \(b)")
        set.world.apply(.link(from: a, to: b, link))
        if generator.nextBool(probability: 0.5) { set.world.apply(.link(from: b, to: a, link)) }
        return true
    }

    mutating func reset() -> Bool {
        let nodes = set.members.map(\.name) + clients
        guard let a = pick(nodes), let b = pick(nodes.filter { $0 != a }) else { return false }
        set.timeline.add("NETWORK", "RESET \(a) - \(b)")
        set.world.apply(.resetConnections(a, b))
        return true
    }

    /// The next message of each connection between two nodes ends in the middle.
    mutating func breakMessages(thenReset: Bool) -> Bool {
        guard let a = pick(set.members.map(\.name) + clients), let b = pick(set.members.map(\.name).filter { $0 != a })
        else { return false }
        set.timeline.add("NETWORK", "HALF A MESSAGE \(a) - \(b), then \(thenReset ? "reset" : "silence")")
        set.world.network.breakNextMessages(between: a, and: b, thenReset: thenReset)
        return true
    }

    /// What a client sent arrives, the answers do not, and the connections break.
    mutating func loseAnswers() -> Bool {
        guard let client = pick(clients), let member = set.primary ?? pick(set.members) else { return false }
        set.timeline.add("NETWORK", "ANSWERS LOST \(member.name) -> \(client)")
        set.world.apply(.block(from: member.name, to: client))
        set.later(milliseconds(1..<200)) { [set] in
            set.world.apply(.resetConnections(member.name, client))
            set.world.apply(.unblock(from: member.name, to: client))
        }
        return true
    }
}
