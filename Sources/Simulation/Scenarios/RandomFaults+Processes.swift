import Core
import Replication

/// Crashes, stalls and clocks.
extension RandomFaults {
    /// Members that may crash. Without disks a crash takes a member's memory away, so there it is only done while the
    /// others could do without it: losing a majority at once makes the set unavailable, which is a fault of its own.
    private var expendable: [SimulatedMember] {
        self.set.remembers ? self.set.members.filter(\.isAlive) : forgettable
    }

    /// Members whose memory the others could do without.
    private var forgettable: [SimulatedMember] {
        guard let primary = set.primary, !isCut, let config = primary.member?.config else { return [] }
        let intact = set.members.filter { set.isIntact($0, primary: primary) }
        let voters = intact.filter { member in
            config.index(of: member.id).map { config.members[$0].isVoter && config.members[$0].isDataBearing } ?? false
        }
        return voters.count > config.writeMajority && intact.count > config.votingMajority ? intact : []
    }

    mutating func crashOne(_ connections: DeadConnections) -> Bool {
        let choice = expendable
        // As often the primary as all others together.
        let primary = set.primary.flatMap { primary in choice.first { $0 === primary } }
        guard let victim = generator.nextBool(probability: 0.5) ? primary ?? pick(choice) : pick(choice) else {
            return false
        }
        victim.crash(connections)
        return true
    }

    /// A disk is replaced by an empty one. Not that of the last member that may be primary: nobody could take it in
    /// again.
    mutating func loseDisk() -> Bool {
        guard set.remembers, let config = set.primary?.member?.config else { return false }
        let intact = forgettable
        func isElectable(_ member: SimulatedMember) -> Bool {
            config.index(of: member.id).map { config.members[$0].isElectable } ?? false
        }
        let choice = intact.filter { victim in intact.contains { $0 !== victim && isElectable($0) } }
        guard let victim = pick(choice) else { return false }
        victim.loseDisk()
        victim.crash()
        return true
    }

    /// A storage engine throws: its member stops itself and says why.
    mutating func failStorage() -> Bool {
        guard let victim = pick(expendable.filter { !$0.isPaused }) else { return false }
        victim.failStorage()
        return true
    }

    /// A disk is at other work: what is flushed waits.
    mutating func stallDisk() -> Bool {
        guard let victim = pick(set.members.filter { $0.disk?.isStalled == false }) else { return false }
        victim.stallDisk()
        set.later(milliseconds(20..<(generator.nextBool(probability: 0.2) ? 10_000 : 1000))) { victim.unstallDisk() }
        return true
    }

    /// A disk is full for a while.
    mutating func fillDisk() -> Bool {
        guard let victim = pick(alive), victim.setRoom(Int(generator.next(below: 64 * 1024))) else { return false }
        set.later(milliseconds(100..<6000)) { _ = victim.setRoom(nil) }
        return true
    }

    mutating func crashSeveral(_ count: Int) -> Bool {
        var choice = set.members.filter(\.isAlive)
        guard choice.count >= count else { return false }
        var left = count
        while left > 0, !choice.isEmpty {
            choice.remove(at: Int(generator.next(below: UInt64(choice.count))))
                .crash(generator.nextBool(probability: 0.5) ? .halfOpen : .reset)
            left -= 1
        }
        return true
    }

    mutating func restartLoop() -> Bool {
        guard let victim = pick(expendable) else { return false }
        var at = Duration.zero
        victim.crash()
        for _ in 0..<(2 + generator.next(below: 5)) {
            at += milliseconds(1..<400)
            set.later(at) { [end] in if !end.hasCome { victim.restart() } }
            at += milliseconds(1..<600)
            set.later(at) { [end] in if !end.hasCome, victim.isAlive { victim.crash() } }
        }
        return true
    }

    /// Crashes the next member that is cloned, in the middle of it.
    mutating func crashInInitialSync() -> Bool {
        set.crashesInInitialSync = milliseconds(0..<4)
        return true
    }

    /// Crashes the next member that takes entries back, in the middle of it.
    mutating func crashInRollback() -> Bool {
        set.crashesInRollback = milliseconds(0..<2)
        return true
    }

    mutating func pauseOne() -> Bool {
        guard let member = pick(alive) else { return false }
        member.pause()
        // The member's own timers are held while it is paused: somebody else wakes it.
        set.wake(member, after: milliseconds(20..<(generator.nextBool(probability: 0.1) ? 60_000 : 4000)))
        return true
    }

    /// The member gets only a part of the time.
    mutating func slowCPU() -> Bool {
        guard let member = pick(alive) else { return false }
        let share = milliseconds(5..<60)
        let rounds = 10 + Int(generator.next(below: 40))
        set.timeline.add(member.name, "SLOW: stalls \(share) of every \(share + .milliseconds(5))")
        for round in 0..<rounds {
            set.later((share + .milliseconds(5)) * round) { [end, set] in
                guard !end.hasCome, member.isAlive, !member.isPaused else { return }
                member.runtime?.pause()
                set.later(share) { member.runtime?.resume() }
            }
        }
        return true
    }

    // MARK: Clocks

    mutating func jumpClock() -> Bool {
        guard let member = pick(alive) else { return false }
        let far = generator.nextBool(probability: 0.2) ? Int64(86_400_000) : 30_000
        let offset = milliseconds(-far..<far)
        set.timeline.add(member.name, "CLOCK JUMPS \(offset)")
        set.world.apply(.clockJump(member.name, offset))
        return true
    }

    /// The clock jumps to and fro, ahead and back.
    mutating func strobeClock() -> Bool {
        guard let member = pick(alive) else { return false }
        let offset = milliseconds(1..<5000)
        let period = milliseconds(1..<100)
        set.timeline.add(member.name, "CLOCK STROBES by \(offset) every \(period)")
        for round in 0..<(2 * (5 + Int(generator.next(below: 20)))) {
            set.later(period * round) { [set] in
                set.world.apply(.clockJump(member.name, round.isMultiple(of: 2) ? offset : .zero - offset))
            }
        }
        return true
    }

    /// The clock stands still.
    mutating func freezeClock() -> Bool {
        guard let member = pick(alive) else { return false }
        set.timeline.add(member.name, "CLOCK STANDS STILL")
        set.world.apply(.clockDrift(member.name, partsPerMillion: -1_000_000))
        set.later(milliseconds(100..<5000)) { [set] in set.world.apply(.clockDrift(member.name, partsPerMillion: 0)) }
        return true
    }

    mutating func driftClock() -> Bool {
        guard let member = pick(alive) else { return false }
        let rate = Int64(generator.next(below: 400_000)) - 200_000
        set.timeline.add(member.name, "CLOCK DRIFTS by \(rate) parts per million")
        set.world.apply(.clockDrift(member.name, partsPerMillion: rate))
        return true
    }
}
