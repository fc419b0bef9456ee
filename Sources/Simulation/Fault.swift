public import Core

/// One thing that goes wrong in a run, or is put right again.
public enum Fault: Sendable {
    case crash(String, connections: DeadConnections)
    case restart(String)
    case pause(String)
    case resume(String)
    /// No message passes between the groups.
    case partition([[String]])
    /// No message passes from one node to another; the other way is open.
    case block(from: String, to: String)
    case unblock(from: String, to: String)
    case heal
    case resetConnections(String, String)
    case link(from: String, to: String, LinkConditions)
    case clockJump(String, Duration)
    case clockDrift(String, partsPerMillion: Int64)
}

/// A fault and its time.
public struct ScheduledFault: Sendable {
    public let at: Instant
    public let fault: Fault
    public init(at: Instant, _ fault: Fault) {
        self.at = at
        self.fault = fault
    }
}

/// The faults of one run, in order of time.
public struct FaultSchedule: Sendable {
    public let faults: [ScheduledFault]
    public init(_ faults: [ScheduledFault]) {
        // Stable: faults of one instant keep their order.
        self.faults = faults.enumerated()
            .sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }
            .map(\.element)
    }
}

extension SimulatedWorld {
    /// Lets a fault happen now.
    public func apply(_ fault: Fault) {
        record(.fault, node: -1, payload: SeededGenerator.hash("\(fault)"))
        switch fault {
        case .crash(let name, let connections): crash(name, connections: connections)
        case .restart(let name): restart(name)
        case .pause(let name): node(name)?.pause()
        case .resume(let name): node(name)?.resume()
        case .partition(let groups): network.partition(groups)
        case .block(let from, let to): network.block(from: from, to: to)
        case .unblock(let from, let to): network.unblock(from: from, to: to)
        case .heal: network.heal()
        case .resetConnections(let a, let b): network.resetConnections(between: a, and: b)
        case .link(let from, let to, let conditions): network.setLink(from: from, to: to, conditions)
        case .clockJump(let name, let offset): node(name)?.jumpWallClock(by: offset)
        case .clockDrift(let name, let rate): node(name)?.driftWallClock(partsPerMillion: rate)
        }
    }

    /// Runs until `deadline`, letting the schedule's faults happen at their times.
    public func run(_ schedule: FaultSchedule, until deadline: Instant) throws(SimulationError) {
        for scheduled in schedule.faults where scheduled.at <= deadline {
            if scheduled.at > now { try run(until: scheduled.at) }
            apply(scheduled.fault)
        }
        try run(until: deadline)
    }
}
