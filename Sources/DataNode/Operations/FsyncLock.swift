internal import BSON
internal import Core
internal import Data
internal import Frontend

/// The lock of `fsync` with `lock: true`: while somebody holds it nothing is written, so that a copy of the member's
/// files, or of a snapshot below them, is of one state.
///
/// Clients that write wait, a secondary applies nothing, and what the node writes of itself is put off, down to its
/// vote. Reads and heartbeats go on. It is a count: each lock needs an unlock of its own.
final class FsyncLock {
    private(set) var count: Int64 = 0
    /// The lock was given back.
    private let released: LoopSignal
    /// What the replication protocol has decided meanwhile and has to be written, in order.
    private var putOff: [() -> Void] = []

    init(_ runtime: any NodeRuntime) { released = LoopSignal(runtime: runtime) }

    @inline(__always)
    var isHeld: Bool { count > 0 }

    func take() { count += 1 }

    func giveBack() {
        count -= 1
        if count == 0 { goOn() }
    }

    /// Does now, or when the lock is given back, what writes.
    func whenReleased(_ write: @escaping () -> Void) {
        if isHeld { putOff.append(write) } else { write() }
    }

    private func goOn() {
        let waiting = putOff
        putOff = []
        for write in waiting { write() }
        released.fire()
    }

    /// Lets those who wait look whether it is worth it: the node ends, or has lost its office.
    func wakeWaiters() { released.fire() }

    func awaitRelease(until deadline: Instant, on connection: ClientConnection?) async {
        await released.wait(until: deadline, on: connection)
    }
}

extension Node {
    /// Returns when nobody holds the lock, at `deadline`, or when nobody waits any more.
    func awaitUnlock(until deadline: Instant = .distantFuture, on connection: ClientConnection? = nil) async {
        while lock.isHeld, runtime.now < deadline, !isShuttingDown, connection?.isAbandoned != true {
            await lock.awaitRelease(until: deadline, on: connection)
        }
    }

    /// As `inSlices`, for slices that write: none runs while the lock is held.
    func inWritingSlices<Result>(
        _ slice: (Instant) throws -> Result?, between: () async throws -> Void
    ) async throws -> Result {
        try await inSlices({ lock.isHeld ? nil : try slice($0) }) {
            try await between()
            await awaitUnlock()
        }
    }

    func inWritingSlices<Result>(_ slice: (Instant) throws -> Result?) async throws -> Result {
        try await inWritingSlices(slice) { try await endSlice() }
    }

    /// Takes the lock once nothing is under way that cannot stand still: an initial sync, a rollback.
    fileprivate func takeLock(until deadline: Instant, on connection: ClientConnection) async throws {
        while let role = replication, role.initialSync != nil || role.rollback != nil {
            try connection.checkInterrupted()
            guard runtime.now < deadline else {
                throw ServerError(
                    .lockTimeout,
                    "fsync lock timed out: \(role.rollback == nil ? "an initial sync" : "a rollback") is under way")
            }
            await frontend.topology.wait(
                beyond: frontend.topology.counter, until: min(deadline, runtime.now + Limits.fsyncLockRetry),
                on: connection)
        }
        lock.take()
        if lock.count == 1 { runtime.log.log(.warning, "command", "locked against writes by fsync") }
    }

    fileprivate func releaseLock() {
        lock.giveBack()
        guard !lock.isHeld else { return }
        runtime.log.log(.warning, "command", "no longer locked against writes")
        profiler.goOn()
        replication?.syncSource.unlocked()
    }

    /// Everything that is written is on the disk, and in files that the next start need not put in order.
    fileprivate func flushAll() async throws {
        try await data.durability.flush()
        do {
            try await engine.checkpoint()
        } catch let error as DiskError where error.kind == .full {
            throw ServerError(.outOfDiskSpace, "\(error)")
        } catch {
            fail(error)
            throw ServerError(.internalError, "\(error)")
        }
    }
}

extension CommandContext {
    /// Lets a command that writes wait while the lock is held.
    /// - Throws: `MaxTimeMSExpired`, `Interrupted`.
    func awaitUnlock() async throws {
        guard node.lock.isHeld else { return }
        let before = operation?.wait
        operation?.wait = .lock
        defer { operation?.wait = before }
        while node.lock.isHeld, runtime.now < deadline, !node.isShuttingDown, !connection.isAbandoned {
            // A member that is not primary, or not any more, takes no clients' writes, locked or not. What every member
            // writes for itself (`profile`, `replSetResizeOplog`) only waits.
            if command.traits.contains(.write) { try checkWritable() }
            await node.lock.awaitRelease(until: deadline, on: connection)
        }
        try checkDeadline()
        if node.isShuttingDown { throw ServerError(.interruptedAtShutdown, "interrupted at shutdown") }
    }
}

/// `fsync` and `fsyncUnlock`.
enum FsyncCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "fsync", [.adminOnly], .fsync, help: "makes everything durable; with lock, keeps it as it is",
                run: fsync))
        table.add(
            Command("fsyncUnlock", [.adminOnly], .empty, help: "gives back one lock of fsync") { context in
                let node = context.node
                guard node.lock.isHeld else {
                    throw ServerError(.illegalOperation, "fsyncUnlock called when not locked")
                }
                node.releaseLock()
                context.writer.append("info", string: "fsyncUnlock completed")
                context.writer.append("lockCount", int64: node.lock.count)
                return .done
            })
    }

    private static func fsync(_ context: CommandContext) throws -> CommandOutcome {
        let node = context.node
        let isLocking = context.body["lock"]?.isTruthy ?? false
        var wait = Limits.fsyncLockWaitDefault
        if let value = context.body["fsyncLockAcquisitionTimeoutMillis"], value.type != .null {
            guard let millis = value.asInteger else {
                throw ServerError(.badValue, "fsyncLockAcquisitionTimeoutMillis must be a whole number")
            }
            wait = .milliseconds(millis)
        }
        let deadline = min(context.deadline, context.runtime.now + wait)
        return .later {
            guard isLocking else {
                try await node.flushAll()
                context.writer.append("numFiles", int32: 1)
                return
            }
            try await node.takeLock(until: deadline, on: context.connection)
            do { try await node.flushAll() } catch {
                node.releaseLock()
                throw error
            }
            context.writer.append(
                "info", string: "now locked against writes, use db.fsyncUnlock() to unlock")
            context.writer.append("lockCount", int64: node.lock.count)
            context.writer.append("seeAlso", string: "http://dochub.mongodb.org/core/fsynccommand")
        }
    }
}
