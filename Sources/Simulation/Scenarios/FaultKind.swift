/// What can go wrong in a random run.
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
    case lostDisk = "disk lost"
    case storageThrows = "storage engine throws"
    case diskStalls = "disk stalls"
    case lostTail = "unflushed tail lost"
    case powerCut = "power cut"
    case diskFails = "disk fails"
    case diskFull = "disk full"
    // The network.
    case slowLink = "slow link"
    case loss
    case reorder
    case partition
    case oneWay = "one-way partition"
    case partial = "partial partition"
    case bridge
    case flapping = "flapping link"
    case swizzle = "swizzled links"
    case reset
    case resetMidMessage = "reset mid-message"
    case halfMessage = "half a message, then silence"
    case lostAnswers = "answers lost"
    // Clocks.
    case clockJump = "clock jump"
    case clockDrift = "clock drift"
    case clockStrobe = "clock strobe"
    case clockFrozen = "clock frozen"
    // The cluster.
    case stepDown = "step-down"
    case stepUp = "step-up"
    case freeze
    case addMember = "member added"
    case removeMember = "member removed"
    case changePriority = "priority changed"
    case sourceDies = "chained sync source dies"
    // Clients.
    case clientDies = "client dies"
    case duplicate = "duplicate request"
    case killedCursor = "cursor killed mid-batch"
    case sharedSession = "session shared"

    /// What clients do of themselves, drawn or not.
    var isOfWorkload: Bool { self == .duplicate || self == .killedCursor || self == .sharedSession }

    /// Drawn apart from the others; a tail is lost by whatever crash comes.
    var isOfDisk: Bool { [.diskStalls, .lostTail, .powerCut, .diskFails, .diskFull].contains(self) }

    /// Takes the memory of a majority away from members without disks: such a set is unavailable from then on.
    var needsMemory: Bool { self == .crashMajority || self == .crashAll }
    /// Moves a wall clock. A delayed member waits by two of them, and might wait for a day.
    var movesClock: Bool { [.clockJump, .clockDrift, .clockStrobe, .clockFrozen].contains(self) }
}
