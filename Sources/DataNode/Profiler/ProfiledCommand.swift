internal import BSON
internal import Core
internal import Data
internal import Frontend

/// A command that the profiler watches: what it makes the data layer do, and what its entry says beside.
final class ProfiledCommand {
    let database: String
    let observation = WorkObservation()
    /// The cursor that the command has opened or goes on with.
    private(set) var cursor: CursorRegistry.Entry?
    var isCursorExhausted = false
    /// Documents that an insert has inserted.
    var inserted: Int?
    /// When the statement began that runs now.
    fileprivate var statementStartedAt: Instant

    init(database: String, startedAt: Instant) {
        self.database = database
        statementStartedAt = startedAt
    }

    /// The command that is watched goes on with a cursor.
    func goesOn(with entry: CursorRegistry.Entry) {
        cursor = entry
        if let origin = entry.origin, !origin.plan.isEmpty { observation.note(origin.plan) }
    }

    /// The command has left a cursor behind: its batches are shown with the command and its plan.
    func opened(_ entry: CursorRegistry.Entry, by command: DocumentView) {
        cursor = entry
        let shown = OperationReport.shown(command, most: Limits.profiledCommandBytesMax)
        entry.origin = (shown, observation.plans.joined(separator: ", "))
    }
}

extension CommandContext {
    /// The statement of a command as its entry shows it, taken before it runs; nil when nobody watches.
    func profiledStatement(_ view: DocumentView) -> Document? {
        guard let profiled else { return nil }
        profiled.statementStartedAt = runtime.now
        return OperationReport.shown(view, most: Limits.profiledCommandBytesMax)
    }

    /// One statement of an `update` or `delete` is over: each has an entry of its own.
    func endStatement(_ shown: Document?, n: Int, nModified: Int?, isUpsert: Bool, _ error: ServerError?) {
        guard let profiled, let shown else { return }
        node.data.observe(profiled.observation)
        var entry = ProfileEntry(
            operation: command.operationType,
            namespace: OperationReport.namespace(of: body, command, profiled.database), command: shown,
            elapsed: runtime.now - profiled.statementStartedAt, seen: profiled.observation)
        if let nModified {
            // An upsert counts in `n`, and matches nothing.
            entry.counts = [("nMatched", isUpsert ? 0 : n), ("nModified", nModified)]
        } else {
            entry.counts = [("ndeleted", n)]
        }
        entry.isUpsert = isUpsert
        entry.error = error
        node.profiler.submit(entry, of: profiled.database, connection)
        profiled.observation.reset()
    }
}
