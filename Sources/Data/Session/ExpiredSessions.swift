import BSON
public import Core

/// The deletion of what sessions remember that have not written for long, on its way: a walk over the records and over
/// the rows behind them. After this time nobody sends a write again.
///
/// A step forgets one session, or a bounded part of one that has many rows; its entry is a deletion in
/// `config.transactions`, and secondaries delete the same.
public final class ExpiredSessions {
    /// Sessions forgotten.
    public private(set) var n = 0

    private let store: DataStore
    private let threshold: WallTime
    /// The key that was looked at last.
    private var position: [UInt8] = []
    private let rows = RowBuffer(limit: Limits.expiredSessionRowsPerBatch)
    /// The session of the rows that were looked at last, which has a record.
    private var remembered: [UInt8] = []

    /// - Parameter threshold: sessions whose newest write is older are forgotten.
    public init(_ store: DataStore, lastWriteBefore threshold: WallTime) {
        self.store = store
        self.threshold = threshold
    }

    /// Goes on until done or the slice is used up.
    public func run(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        var clock = SliceClock(deadline: deadline)
        while true {
            let batch = try nextBatch()
            for candidate in batch.candidates {
                if candidate.isExpired, try forget(candidate.session, context) { return .yield }
                position = candidate.key
                if clock.isOver(store.runtime) || store.endsSlice(context, deadline) { return .yield }
            }
            if batch.isLast { return .done }
            // What comes next may have to be read from the disk first.
            if batch.candidates.isEmpty || clock.isOverNow(store.runtime) { return .yield }
        }
    }

    /// What the walk has met: the record of a session, or one of its rows.
    private struct Candidate {
        let key: [UInt8]
        let session: [UInt8]
        let isExpired: Bool
    }

    /// Copied: a write moves what a read has found.
    private func nextBatch() throws -> (candidates: [Candidate], isLast: Bool) {
        rows.removeAll()
        let scan = try position.withUnsafeBytes {
            try store.versions.read(
                DataTables.sessions, from: position.isEmpty ? .start : .behind($0), direction: .forward, at: .latest,
                into: rows)
        }
        let candidates = try rows.rows.map { row in
            let key = [UInt8](row.key)
            let session = try SessionRecords.session(ofRow: key)
            return Candidate(key: key, session: session, isExpired: try isExpired(key, row.value, of: session))
        }
        if case .notResident = scan { return (candidates, false) }
        return (candidates, !rows.isFull)
    }

    private func isExpired(
        _ key: [UInt8], _ value: UnsafeRawBufferPointer, of session: [UInt8]
    ) throws -> Bool {
        guard SessionRecords.isRow(key) else {
            guard let lastWrite = try storedDocument(value)["lastWriteDate"]?.asDateTime else {
                throw InvariantViolation("a stored session record is not readable")
            }
            return lastWrite < threshold.milliseconds
        }
        // A row without a record is what an initial sync has cloned while its session was forgotten.
        if session == remembered { return false }
        guard try store.sessions.exists(session) else { return true }
        remembered = session
        return false
    }

    /// Forgets a session, or a part of it. Returns whether there is more of it.
    private func forget(_ session: [UInt8], _ context: WriteContext) throws -> Bool {
        let isDone = try store.step { step in
            if context.isReplicated { try store.logForgotten(session, step, context) }
            return try store.sessions.forget(session, step)
        }
        if isDone { n += 1 }
        return !isDone
    }
}

extension DataStore {
    /// The namespace in which the entries of forgotten sessions delete.
    static let transactionsNamespace = "config.transactions"

    fileprivate func logForgotten(_ session: [UInt8], _ step: WriteStep, _ context: WriteContext) throws {
        guard let optime = try optime(step, .replicated, context) else { return }
        var namespace = DataStore.transactionsNamespace
        try namespace.withUTF8 { bytes in
            let header = StepEntry.Header(
                op: "d", namespace: UnsafeRawBufferPointer(bytes), uuid: nil, optime: optime, wall: context.wall)
            let identity = SessionRecords.identity(ofKey: session)
            try step.entry.add(header) { entry in
                entry.document("o") { o in identity.withView { o.append("_id", $0) } }
            }
        }
    }

    /// Applies the entry of a forgotten session, unless the session has written since.
    func applyForgotten(_ view: OplogEntryView, _ step: WriteStep) throws {
        guard let lsid = view.object["_id"]?.asDocument else {
            throw InvariantViolation("the entry at \(view.optime) forgets no session")
        }
        guard view.optime > (try sessions.record(lsid)).lastWrite else { return }
        _ = try sessions.forget(try SessionRecords.key(lsid), step)
    }
}
