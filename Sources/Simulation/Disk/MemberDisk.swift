import Core

/// What a simulated member's data are on, over all its runs.
protocol MemberDisk: AnyObject {
    /// The engine of one run. The run before has come to its end.
    func engine(_ runtime: SimulatedRuntime) -> any StorageEngine
    /// Whether an entry of the oplog is safe, as far as the engine says.
    func holds(_ optime: OpTime) -> Bool
    /// What the next crash leaves of what is not safe.
    var survivors: DiskSurvivors { get set }
    /// How often a crash has taken batches.
    var lostTails: Int { get }
    /// What is to be written waits.
    var isStalled: Bool { get set }

    /// Lets the power be cut in the middle of a call, after so many; false where there are no calls.
    func cutPower(afterCalls count: Int) -> Bool
    /// Lets a call fail, after so many.
    func failCall(after count: Int) -> Bool
    /// Leaves room for so many bytes; for any number with nil.
    func setRoom(_ bytes: Int?) -> Bool
    /// Nothing goes wrong any more.
    func calm()
    /// Whether it is the disk's doing that a run, or its opening, has ended with that error.
    func hasCaused(_ error: any Error, opening: Bool) -> Bool
}

/// What a crash leaves of the batches that were not safe.
enum DiskSurvivors {
    case any, all, none
}

extension MemberDisk {
    func cutPower(afterCalls count: Int) -> Bool { false }
    func failCall(after count: Int) -> Bool { false }
    func setRoom(_ bytes: Int?) -> Bool { false }
    func calm() { isStalled = false }
    func hasCaused(_ error: any Error, opening: Bool) -> Bool { false }
}
