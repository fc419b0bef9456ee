internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Slows a primary's writers while the majority lags so far behind that writes would soon have to be refused: each
/// write waits for the commit point to catch up, a little while at most; a command that writes much waits again between
/// its slices, for as long as the commit point moves. So do writers while the disk is behind.
struct FlowControl {
    /// Waits of writes, and how long they took together.
    private(set) var waits: Int64 = 0
    private(set) var waited: Duration = .zero
    /// Where the commit point was when somebody last waited for it to move, and since when it was known to be there.
    private var commitPoint = OpTime.null
    private var standsSince = Instant.zero

    fileprivate mutating func note(_ time: Duration) {
        waits += 1
        waited += time
    }

    /// How long it is worth waiting for a commit point that is here now.
    fileprivate mutating func patienceEnd(_ commitPoint: OpTime, now: Instant) -> Instant {
        if commitPoint != self.commitPoint {
            self.commitPoint = commitPoint
            standsSince = now
        }
        return standsSince + Limits.flowControlStandstillMax
    }
}

extension Node {
    /// Whether writers have to be slowed down.
    @inline(__always)
    var isLagged: Bool { isUnderPressure || isDiskBehind }

    /// Whether a write may not begin at once. All that a write looks at.
    @inline(__always)
    var isHeldUp: Bool { lock.isHeld || isLagged }

    @inline(__always)
    private var isUnderPressure: Bool { data.isUnderPressure && role.isReplicated }

    /// Whether writers wait for the disk. Not for a full one: there they are refused.
    @inline(__always)
    private var isDiskBehind: Bool { data.durability.isBehind && !data.durability.isFull }

    var isMajorityBehind: Bool { data.isMajorityBehind && role.isReplicated }

    /// Runs a command that writes once the pressure is off, or the wait has been long enough.
    func runSlowed(_ context: CommandContext) async throws {
        let began = runtime.now
        let end = min(began + Limits.flowControlWaitMax, context.deadline)
        context.operation?.wait = .flowControl
        await awaitDisk(until: context.deadline, on: context.connection)
        while isUnderPressure, runtime.now < end, !context.connection.isAbandoned, !isShuttingDown {
            guard let role = replication else { break }
            await role.oplogChanged.wait(until: end, on: context.connection)
        }
        flowControl.note(runtime.now - began)
        context.operation?.wait = nil
        // While the commit point moves, there will be room.
        await awaitMajority(until: context.deadline, on: context.connection) { $0.data.refusesWrites }
        try context.checkDeadline()
        try await context.runToEnd()
    }

    /// Lets a client that writes wait as long as the disk is behind.
    func awaitDisk(until deadline: Instant, on connection: ClientConnection?) async {
        while isDiskBehind, runtime.now < deadline, !isShuttingDown, connection?.isAbandoned != true {
            await data.durability.catchUp(until: min(deadline, runtime.now + Limits.flowControlWaitMax))
        }
    }

    /// Waits while `isBehind` holds and there is hope: this member is primary, and the commit point moves.
    func awaitMajority(
        until deadline: Instant, on connection: ClientConnection? = nil, while isBehind: (Node) -> Bool
    ) async {
        guard let role = replication, isBehind(self) else { return }
        let began = runtime.now
        while isBehind(self), role.acceptsWrites, !isShuttingDown, connection?.isAbandoned != true {
            let end = min(deadline, flowControl.patienceEnd(role.member.commitPoint, now: runtime.now))
            guard runtime.now < end else { break }
            await role.oplogChanged.wait(until: end, on: connection)
        }
        flowControl.note(runtime.now - began)
    }
}

extension CommandContext {
    /// Between two slices of a command that writes: lets the loop run, and a majority that lags catch up. The member
    /// may have lost its office meanwhile, which `writeContext()` finds out; what is done is remembered for the retry.
    /// - Throws: `MaxTimeMSExpired`.
    func awaitNextSlice() async throws {
        try await endSlice()
        await node.awaitDisk(until: deadline, on: connection)
        await node.awaitMajority(until: deadline, on: connection) { $0.isMajorityBehind }
        try await awaitUnlock()
        resume()
        try checkDeadline()
    }

    /// Whether a slice that ends at `end` is over behind a statement.
    func isSliceOver(_ write: WriteContext, _ end: Instant) -> Bool {
        runtime.now >= end || node.data.endsSlice(write, end)
    }
}

extension Node {
    /// The `flowControl` section of `serverStatus`.
    func appendFlowControl(to writer: DocumentWriter) {
        writer.document("flowControl") {
            $0.append("enabled", bool: role.isReplicated)
            $0.append("isLagged", bool: isLagged)
            $0.append("isLaggedCount", int64: flowControl.waits)
            $0.append("timeAcquiringMicros", int64: flowControl.waited.wholeMilliseconds * 1000)
        }
    }
}
