internal import BSON
internal import Core
internal import Data

/// Forgets what sessions have written that have not written for long, while this node takes writes.
///
/// The deletions are replicated; a secondary forgets nothing of itself.
final class SessionReaper {
    private unowned let node: Node
    private(set) lazy var periodic = PeriodicPass(
        "session reaper", node, pause: Limits.sessionReaperPause,
        isDue: { [unowned self] in isWritable }, pass: { [unowned self] in await periodicPass() }, ended: {})
    private var passes: Int32 = 0
    private var isRunning = false
    /// The newest pass.
    private var last = Pass()

    private struct Pass {
        var startedAt = WallTime(milliseconds: 0)
        var duration = Duration.zero
        var forgotten = 0
    }

    init(_ node: Node) { self.node = node }

    private var isWritable: Bool { node.isWritable("config") }

    private func periodicPass() async {
        do {
            try await pass()
        } catch let error as ServerError {
            // A full disk, or an oplog that is: the next pass goes on.
            node.runtime.log.log(
                .warning, "session", "what idle sessions have written is not forgotten: \(error.message)")
        } catch {
            node.fail(error)
        }
    }

    /// Goes over all records once; over none when a pass is under way or the node takes no writes.
    func pass() async throws {
        guard !isRunning, isWritable else { return }
        isRunning = true
        defer { isRunning = false }
        let (start, now, term) = (node.runtime.now, node.runtime.wallClock, node.role.term)
        let lifetime = Int64(node.options.sessionRecordLifetimeMinutes) * 60_000
        let work = ExpiredSessions(
            node.data, lastWriteBefore: WallTime(milliseconds: now.milliseconds - lifetime))
        try await node.inWritingSlices({ end in
            guard !node.isShuttingDown, node.role.term == term, isWritable else { return () }
            let context = WriteContext(
                term: term, wall: node.runtime.wallClock, isReplicated: node.role.isReplicated)
            return try work.run(context, until: end).ended
        }) {
            try await node.endSlice()
            await node.awaitMajority(until: .distantFuture) { $0.data.isMajorityBehind }
        }
        passes &+= 1
        last = Pass(startedAt: now, duration: node.runtime.now - start, forgotten: work.n)
    }

    /// Of `logicalSessionRecordCache`.
    func write(to writer: DocumentWriter) {
        writer.append("transactionReaperJobCount", int32: passes)
        writer.append("lastTransactionReaperJobDurationMillis", int64: last.duration.wholeMilliseconds)
        writer.append("lastTransactionReaperJobTimestamp", dateTime: last.startedAt.milliseconds)
        writer.append("lastTransactionReaperJobEntriesCleanedUp", int64: Int64(last.forgotten))
    }
}
