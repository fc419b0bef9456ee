public import BSON
public import Core

/// The session records of a member: a replicated table, and the records in use in memory.
///
/// A record is written in the batch of the write that it remembers, on secondaries from the entry; so it is undone by a
/// rollback with the write, and never moved backwards otherwise.
public final class SessionRecords {
    private let versions: VersionStore
    private var cached: [[UInt8]: SessionRecord] = [:]
    private let buffer = ByteBuffer(capacity: 512)

    /// A planted bug.
    private let forgetsStatements: Bool

    init(versions: VersionStore, forgetsStatements: Bool) {
        self.versions = versions
        self.forgetsStatements = forgetsStatements
    }

    /// Forgets what is in memory: after a rollback the table is the truth.
    func reload() { cached.removeAll() }

    /// The record of a session, empty when it never wrote.
    public func record(_ lsid: DocumentView) throws -> SessionRecord {
        let key = try SessionRecords.key(lsid)
        if let record = cached[key] { return record }
        let record: SessionRecord
        let stored = try key.withUnsafeBytes { try versions.get(DataTables.sessions, $0, at: .latest) }
        switch stored {
        case .found(let bytes):
            record = try SessionRecord(stored: try storedDocument(bytes), key: key)
        case .absent:
            record = SessionRecord(identity: lsid.document, key: key)
        case .notResident:
            throw StorageNotResident(table: DataTables.sessions, key: key)
        }
        // Bounded by forgetting all: the records come back from the table as they are needed.
        if cached.count >= Limits.sessionRecordsCachedMax { cached.removeAll() }
        cached[key] = record
        return record
    }

    /// What to do with a statement of a retryable write.
    public enum Verdict {
        case execute
        case alreadyExecuted(StatementOutcome)
    }

    /// Whether a statement is to be executed; throws `TransactionTooOld` (225) when the session is past that number.
    public func checkStatement(_ record: SessionRecord, transactionNumber: Int64, statement: Int32) throws(ServerError)
        -> Verdict
    {
        guard transactionNumber >= record.transactionNumber else {
            throw ServerError(
                .transactionTooOld,
                "Retryable write with txnNumber \(transactionNumber) is prohibited on session because a newer "
                    + "retryable write with txnNumber \(record.transactionNumber) has already started on this session.")
        }
        if let outcome = record.outcome(of: statement, transactionNumber: transactionNumber), !forgetsStatements {
            return .alreadyExecuted(outcome)
        }
        return .execute
    }

    /// Puts the record with one more statement into a step.
    func put(
        _ statement: Statement, _ outcome: StatementOutcome, optime: OpTime, wall: WallTime, _ step: WriteStep
    ) throws {
        try statement.beforeCommit?()
        let record = statement.session
        guard statement.transactionNumber >= record.transactionNumber else {
            throw InvariantViolation("a session record may not go back to an older transaction number")
        }
        step.keep(record)
        record.remember(statement.id, outcome, transactionNumber: statement.transactionNumber)
        guard record.ranges.count <= Limits.sessionStatementRangesMax else {
            throw ServerError(
                .exceededMemoryLimit,
                "one transaction number may not have more than \(Limits.sessionStatementRangesMax) different outcomes")
        }
        record.lastWrite = optime
        record.lastWall = wall
        buffer.removeAll(keeping: 1 << 16)
        record.write(to: buffer)
        try record.key.withUnsafeBytes {
            try step.put(DataTables.sessions, .replicated, key: $0, value: buffer.bytes)
        }
    }

    /// The key of a session: its id, and the digest of its user.
    static func key(_ lsid: DocumentView) throws(ServerError) -> [UInt8] {
        guard let (subtype, id) = lsid["id"]?.asBinary, subtype == 4, id.count == 16 else {
            throw ServerError(.badValue, "lsid.id must be a UUID")
        }
        // The first byte keeps a session without a user from being the prefix of one with.
        guard let user = lsid["uid"]?.asBinary else { return [0] + id }
        guard user.bytes.count == 32 else { throw ServerError(.badValue, "lsid.uid must be a SHA-256 digest") }
        return [1] + id + user.bytes
    }
}
