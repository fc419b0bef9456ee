public import BSON
public import Core

/// Waiting until as many members have a write as its write concern asks for (MongoDB's manual, "Write Concern").
extension Member {
    /// Why a concern can never be satisfied by this configuration.
    public func unsatisfiable(_ concern: WriteConcern) -> ServerError? {
        config.flatMap { Self.unsatisfiable(concern, by: $0) }
    }

    static func unsatisfiable(_ concern: WriteConcern, by config: ReplicaSetConfig) -> ServerError? {
        switch concern.w {
        case .majority: return nil
        case .number(let count):
            guard count > config.dataBearingCount else { return nil }
            return ServerError(.unsatisfiableWriteConcern, "Not enough data-bearing nodes")
        case .mode(let name):
            guard config.settings.writeConcernModes.contains(where: { $0.name == name }) else {
                return ServerError(
                    .unknownReplWriteConcern, "No write concern mode named '\(name)' found in replica set configuration"
                )
            }
            return nil
        }
    }

    /// Waits until `concern` holds for everything up to `target`, which this member wrote or observed. The answer comes
    /// as `completeWaiter`, at once when it holds already.
    public mutating func onWaitForWriteConcern(
        _ id: WaiterID, target: OpTime, _ concern: WriteConcern, deadline: Instant?, now: Instant
    ) -> [Directive] {
        if let error = unsatisfiable(concern) {
            directives.append(.completeWaiter(id, .failed(error)))
        } else if let leadership {
            // An entry of an earlier term is held by whoever holds one of this term.
            let first = leadership.firstOpTime ?? OpTime(term: term, timestamp: .max)
            let kind = WaitKind.write(concern.w, journal: concern.journal)
            add(id, kind, target: target.term == term ? target : first, deadline: deadline, now: now)
        } else {
            let error = ServerError(.primarySteppedDown, "Primary stepped down while waiting for replication")
            directives.append(.completeWaiter(id, .failed(error)))
        }
        return settle(now)
    }

    /// Whether `concern` holds now for everything up to `target`: the fast path of a write that need not wait.
    public func isSatisfied(_ concern: WriteConcern, target: OpTime) -> Bool {
        guard leadership != nil, target.term == term else { return false }
        return reached(.write(concern.w, journal: concern.journal)) >= target
    }

    /// Waits until this member has applied the entry at `timestamp` (`afterClusterTime`).
    public mutating func onWaitForApplied(
        _ id: WaiterID, _ timestamp: Timestamp, deadline: Instant?, now: Instant
    ) -> [Directive] {
        add(id, .applied, target: OpTime(term: 0, timestamp: timestamp), deadline: deadline, now: now)
        return settle(now)
    }

    /// Waits until a majority read here sees the entry at `timestamp`.
    public mutating func onWaitForCommitted(
        _ id: WaiterID, _ timestamp: Timestamp, deadline: Instant?, now: Instant
    ) -> [Directive] {
        add(id, .committed, target: OpTime(term: 0, timestamp: timestamp), deadline: deadline, now: now)
        return settle(now)
    }

    /// The one who waited is gone.
    public mutating func onWaiterLeft(_ id: WaiterID, now: Instant) -> [Directive] {
        _ = waiters.remove(id)
        return settle(now)
    }

    private mutating func add(_ id: WaiterID, _ kind: WaitKind, target: OpTime, deadline: Instant?, now: Instant) {
        if isShuttingDown {
            let error = ServerError(.interruptedAtShutdown, "interrupted at shutdown")
            directives.append(.completeWaiter(id, .failed(error)))
        } else if reached(kind) >= target {
            directives.append(.completeWaiter(id, .satisfied))
        } else if let deadline, deadline <= now {
            directives.append(.completeWaiter(id, .timedOut))
        } else {
            waiters.insert(id, kind, target: target, deadline: deadline)
        }
    }

    // MARK: Telling those who wait

    mutating func completeWaiters() {
        guard waiters.count > 0 else { return }
        for place in waiters.queues.indices where waiters.queues[place].head < waiters.queues[place].entries.count {
            let point = reached(waiters.queues[place].kind)
            while let id = waiters.popReached(place, point) { directives.append(.completeWaiter(id, .satisfied)) }
        }
    }

    mutating func expireWaiters(_ now: Instant) {
        // Who is served and late at the same moment is served.
        completeWaiters()
        while let id = waiters.popExpired(now) { directives.append(.completeWaiter(id, .timedOut)) }
    }

    mutating func failWaiters(_ error: ServerError, includingReads: Bool) {
        for place in waiters.queues.indices where includingReads || waiters.queues[place].kind.isWrite {
            for id in waiters.removeAll(place) { directives.append(.completeWaiter(id, .failed(error))) }
        }
    }

    /// Nobody reads here any more, and what is waited for may never come.
    mutating func failReadWaiters() {
        let error = ServerError(
            .interruptedDueToReplStateChange, "operation was interrupted: this member is in state \(state.name)")
        for place in waiters.queues.indices where !waiters.queues[place].kind.isWrite {
            for id in waiters.removeAll(place) { directives.append(.completeWaiter(id, .failed(error))) }
        }
    }

    /// A new configuration may have made some concerns impossible.
    mutating func failUnsatisfiableWaiters() {
        for place in waiters.queues.indices {
            guard case .write(let w, _) = waiters.queues[place].kind,
                let error = unsatisfiable(WriteConcern(w: w))
            else { continue }
            for id in waiters.removeAll(place) { directives.append(.completeWaiter(id, .failed(error))) }
        }
    }

    // MARK: How far each kind has come

    private func reached(_ kind: WaitKind) -> OpTime {
        switch kind {
        case .applied: return OpTime(term: 0, timestamp: progress.applied.timestamp)
        case .committed: return OpTime(term: 0, timestamp: majorityReadPoint.timestamp)
        case .write(.majority, let journal):
            let isDefault = config?.writeConcernMajorityJournalDefault ?? true
            // `j: false` settles for written, which a majority may lose together; every other majority wait also means
            // that a majority read sees it.
            return journal == false && isDefault ? ownTerm(majorityReached(durable: false)) : commitPoint
        case .write(.number(let count), let journal):
            let own = progress(of: selfIndex ?? 0, durable: journal == true)
            return count <= 1 ? own : min(own, reachedBy(count, durable: journal == true))
        case .write(.mode(let name), let journal):
            let own = progress(of: selfIndex ?? 0, durable: journal == true)
            return min(own, reachedByMode(name, durable: journal == true))
        }
    }

    private func ownTerm(_ optime: OpTime) -> OpTime { optime.term == term ? optime : .null }

    /// A position of another term proves nothing about this branch.
    private func progress(of index: Int, durable: Bool) -> OpTime {
        if index == selfIndex { return ownTerm(durable ? progress.durable : progress.applied) }
        guard counts(index) else { return .null }
        return ownTerm(durable ? peers[index].progress.durable : peers[index].progress.applied)
    }

    /// What `count` members that hold data have, voters or not.
    private func reachedBy(_ count: Int, durable: Bool) -> OpTime {
        guard let config else { return .null }
        var best: [OpTime] = []
        for index in config.members.indices where config.members[index].isDataBearing {
            best.append(progress(of: index, durable: durable))
        }
        guard best.count >= count else { return .null }
        best.sort(by: >)
        return best[count - 1]
    }

    /// What so many distinct values of each of the mode's tags have.
    private func reachedByMode(_ name: String, durable: Bool) -> OpTime {
        guard let config, let mode = config.settings.writeConcernModes.first(where: { $0.name == name }) else {
            return .null
        }
        var result = OpTime(term: term, timestamp: .max)
        for wanted in mode.tags {
            var newest: [(value: String, optime: OpTime)] = []
            for index in config.members.indices where config.members[index].isDataBearing {
                for tag in config.members[index].tags where tag.name == wanted.name {
                    let optime = progress(of: index, durable: durable)
                    if let place = newest.firstIndex(where: { $0.value == tag.value }) {
                        newest[place].optime = max(newest[place].optime, optime)
                    } else {
                        newest.append((tag.value, optime))
                    }
                }
            }
            newest.sort { $0.optime > $1.optime }
            let count = Int(wanted.count)
            result = min(result, newest.count >= count && count > 0 ? newest[count - 1].optime : .null)
        }
        return result
    }
}
