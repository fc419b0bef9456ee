/// What can go wrong in a random run. Disks never fail here: those faults come with storage in files.
public enum FaultKind: String, CaseIterable, Sendable {
    // Processes.
    case crash
    case crashHalfOpen = "crash without a word"
    case crashMajority = "crash of a majority"
    case crashAll = "crash of all"
    case restartLoop = "restart loop"
    case crashInInitialSync = "crash in initial sync"
    case crashInRollback = "crash in rollback"
    case pause
    case slowCPU = "slow CPU"
    // The network.
    case slowLink = "slow link"
    case loss
    case reorder
    case partition
    case oneWay = "one-way partition"
    case partial = "partial partition"
    case bridge
    case flapping = "flapping link"
    case reset
    case resetMidMessage = "reset mid-message"
    case halfMessage = "half a message, then silence"
    case lostAnswers = "answers lost"
    // Clocks.
    case clockJump = "clock jump"
    case clockDrift = "clock drift"
    // The cluster.
    case stepDown = "step-down"
    case stepUp = "step-up"
    case freeze
    case addMember = "member added"
    case removeMember = "member removed"
    case changePriority = "priority changed"
    case sourceDies = "chained sync source dies"
    // Clients.
    case duplicate = "duplicate request"

    /// Takes the memory of a majority away from members without disks: such a set is unavailable from then on.
    var needsMemory: Bool { self == .crashMajority || self == .crashAll }
}
