public import BSON
public import Core

/// What one executed statement answers when it is sent again.
public struct StatementOutcome: Hashable, Sendable {
    /// The operation of its entry.
    public enum Kind: Int32, Sendable { case insert, update, delete }
    public var kind: Kind
    /// Documents matched, inserted or deleted.
    public var n: Int32
    public var nModified: Int32
    /// `{_id}` of the document that an upsert inserted.
    public var upserted: Document?
    /// The document that a findAndModify answers with, before its projection.
    public var image: Document?

    public init(kind: Kind, n: Int32, nModified: Int32 = 0, upserted: Document? = nil, image: Document? = nil) {
        self.kind = kind
        self.n = n
        self.nModified = nModified
        self.upserted = upserted
        self.image = image
    }
}

/// The newest write of one session, and all that a repeated retryable write of one outcome needs. The
/// outcomes of a command that has several are in rows of their own (`SessionRecords`).
///
/// Shared by the commands of the session that run at the same time, so that each sees the others' statements.
public final class SessionRecord {
    /// The `lsid` of entries.
    public let identity: Document
    /// The key of the record: the session's id and the digest of its user, when it has one.
    let key: [UInt8]
    var state = State()

    /// What a write changes, and what is put back when its step is undone before it took effect.
    struct State {
        var transactionNumber: Int64 = -1
        var lastWrite = OpTime.null
        var lastWall = WallTime(milliseconds: 0)
        /// The run that was added to last; nil before the first write.
        var run: StatementRun?
        /// No statement above it was executed under this number: most need no look into the rows.
        var highest = Int32.min
        /// Whether runs of this number have rows.
        var hasRows = false
        /// Whether there may be rows of older numbers.
        var hasStaleRows = false
    }

    /// The newest transaction number that wrote; -1 before the first.
    public var transactionNumber: Int64 { state.transactionNumber }
    /// The optime of its newest write.
    public var lastWrite: OpTime { state.lastWrite }

    init(identity: Document, key: [UInt8]) {
        self.identity = identity
        self.key = key
    }

    /// Begins a newer number: the runs of the one before count no more.
    func begin(_ number: Int64) {
        state.transactionNumber = number
        state.run = nil
        state.highest = .min
        state.hasStaleRows = state.hasStaleRows || state.hasRows
        state.hasRows = false
    }

    /// Remembers a statement. Returns the run that it does not go on with, which needs a row now.
    func remember(_ statement: Int32, _ outcome: StatementOutcome) -> StatementRun? {
        let last = state.run
        state.highest = max(state.highest, statement)
        if var run = last {
            if run.contains(statement) { return nil }
            if run.grow(by: statement, outcome) {
                state.run = run
                return nil
            }
        }
        state.run = StatementRun(first: statement, last: statement, outcome: outcome)
        if last != nil { state.hasRows = true }
        return last
    }
}

// MARK: The stored form

extension SessionRecord {
    /// Writes the record as it is stored: `{_id: lsid, txnNumber, lastWriteOpTime, lastWriteDate, highest, run}`.
    func write(to buffer: ByteBuffer) {
        let writer = DocumentWriter(startingIn: buffer)
        identity.withView { writer.append("_id", $0) }
        writer.append("txnNumber", int64: state.transactionNumber)
        writer.append("lastWriteOpTime", state.lastWrite)
        writer.append("lastWriteDate", dateTime: state.lastWall.milliseconds)
        writer.append("highest", int32: state.highest)
        if state.hasRows { writer.append("hasRows", bool: true) }
        if state.hasStaleRows { writer.append("hasStaleRows", bool: true) }
        if let run = state.run { writer.document("run") { run.write(to: $0) } }
        writer.finish()
    }

    /// Reads the stored form.
    convenience init(stored view: DocumentView, key: [UInt8]) throws(InvariantViolation) {
        guard let identity = view["_id"]?.asDocument, let number = view["txnNumber"]?.asInt64,
            let lastWrite = view["lastWriteOpTime"]?.asDocument.flatMap({ OpTime($0) }),
            let lastWall = view["lastWriteDate"]?.asDateTime, let highest = view["highest"]?.asInt32
        else { throw InvariantViolation("a stored session record is not readable") }
        self.init(identity: Document(copying: identity), key: key)
        state.transactionNumber = number
        state.lastWrite = lastWrite
        state.lastWall = WallTime(milliseconds: lastWall)
        state.highest = highest
        state.hasRows = view["hasRows"]?.asBool ?? false
        state.hasStaleRows = view["hasStaleRows"]?.asBool ?? false
        if let run = view["run"]?.asDocument { state.run = try StatementRun(stored: run) }
    }
}
