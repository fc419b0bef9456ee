public import BSON
import Core

/// The session records of a member: a replicated table, and the records in use in memory.
///
/// A session has one row, its record, which holds the run of statements that was added to last. A statement that does
/// not go on with that run moves it to a row of its own, so that a statement writes two rows at most, however many
/// there are before it. Behind the records of all sessions come the rows of runs; those of older transaction numbers go
/// some at a time, with the statements of newer ones.
///
/// All rows are written in the batch of the write that they remember, on secondaries from the entry; so they are undone
/// by a rollback with the write, and never moved backwards otherwise.
public final class SessionRecords {
    let versions: VersionStore
    private var cached: [[UInt8]: SessionRecord] = [:]
    private let buffer = ByteBuffer(capacity: 512)
    private let rows = RowBuffer(limit: 1)

    /// What was executed on another shard, and came here with the range that it was executed on.
    public weak var migrated: (any MigratedStatements)?

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
    public func checkStatement(_ record: SessionRecord, transactionNumber: Int64, statement: Int32) throws -> Verdict {
        guard transactionNumber >= record.transactionNumber else {
            throw ServerError(
                .transactionTooOld,
                "Retryable write with txnNumber \(transactionNumber) is prohibited on session because a newer "
                    + "retryable write with txnNumber \(record.transactionNumber) has already started on this session.")
        }
        guard transactionNumber == record.transactionNumber, statement <= record.state.highest, !forgetsStatements,
            let outcome = try outcome(of: statement, record)
        else {
            return try migrated?.outcome(record.key, transactionNumber, statement).map { .alreadyExecuted($0) }
                ?? .execute
        }
        return .alreadyExecuted(outcome)
    }

    /// What a statement of the record's transaction number answered; nil when it was not executed.
    private func outcome(of statement: Int32, _ record: SessionRecord) throws -> StatementOutcome? {
        if let run = record.state.run, run.contains(statement) { return run.outcome }
        guard record.state.hasRows else { return nil }
        // Runs do not overlap: the last that begins at or before the statement is the only one that can hold it.
        let key = SessionRecords.rowKey(record, statement)
        rows.limit = 1
        try read(from: key, .backward)
        let number = UInt64(bitPattern: record.transactionNumber)
        guard let row = rows.rows.first, SessionRecords.number(row.key, record) == number else { return nil }
        let run = try StatementRun(stored: try storedDocument(row.value))
        return run.contains(statement) ? run.outcome : nil
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
        if statement.transactionNumber > record.transactionNumber { record.begin(statement.transactionNumber) }
        if let run = record.remember(statement.id, outcome) { try put(run, of: record, step) }
        if record.state.hasStaleRows { try deleteStaleRows(record, step) }
        record.state.lastWrite = optime
        record.state.lastWall = wall
        buffer.removeAll(keeping: 1 << 16)
        record.write(to: buffer)
        try put(record.key, step)
    }

    private func put(_ run: StatementRun, of record: SessionRecord, _ step: WriteStep) throws {
        buffer.removeAll(keeping: 1 << 16)
        let writer = DocumentWriter(startingIn: buffer)
        run.write(to: writer)
        writer.finish()
        try put(SessionRecords.rowKey(record, run.first), step)
    }

    /// Puts what is in the buffer.
    private func put(_ key: [UInt8], _ step: WriteStep) throws {
        try key.withUnsafeBytes { try step.put(DataTables.sessions, .replicated, key: $0, value: buffer.bytes) }
    }

    /// Deletes some rows of older transaction numbers: more than a statement can have added.
    private func deleteStaleRows(_ record: SessionRecord, _ step: WriteStep) throws {
        rows.limit = Limits.staleSessionRowsPerStatement
        let scan = try read(from: SessionRecords.rowPrefix(record.key), .forward, at: step.point)
        let current = UInt64(bitPattern: record.transactionNumber)
        // Copied: a write moves what a read has found.
        let stale = rows.rows.map { [UInt8]($0.key) }.prefix { key in
            key.withUnsafeBytes { SessionRecords.number($0, record).map { $0 != current } ?? false }
        }
        for key in stale {
            try key.withUnsafeBytes { try step.delete(DataTables.sessions, .replicated, key: $0) }
        }
        if case .done = scan, stale.count < rows.limit { record.state.hasStaleRows = false }
    }

    /// Puts the deletion of a session's rows into a step, of some of them when there are many, and that of its record
    /// with the last. What is deleted follows from the rows alone, so that secondaries delete the same.
    /// - Returns: whether nothing of the session is left.
    func forget(_ key: [UInt8], _ step: WriteStep) throws -> Bool {
        rows.limit = Limits.expiredSessionRowsPerBatch
        let prefix = SessionRecords.rowPrefix(key)
        if case .notResident = try read(from: prefix, .forward, at: step.point) {
            throw StorageNotResident(table: DataTables.sessions, key: rows.rows.last.map { [UInt8]($0.key) } ?? prefix)
        }
        let found = rows.rows.map { [UInt8]($0.key) }.prefix { $0.starts(with: prefix) }
        let isLast = found.count < rows.limit
        for row in found { try row.withUnsafeBytes { try step.delete(DataTables.sessions, .replicated, key: $0) } }
        guard isLast else { return false }
        try key.withUnsafeBytes { try step.delete(DataTables.sessions, .replicated, key: $0) }
        if let record = cached[key] {
            step.keep(record)
            record.state = SessionRecord.State()
        }
        return true
    }

    /// Whether a session has a record.
    func exists(_ key: [UInt8]) throws -> Bool {
        switch try key.withUnsafeBytes({ try versions.get(DataTables.sessions, $0, at: .latest) }) {
        case .found: true
        case .absent: false
        case .notResident: throw StorageNotResident(table: DataTables.sessions, key: key)
        }
    }

    /// Fills `rows` with rows of the table.
    @discardableResult
    private func read(
        from key: [UInt8], _ direction: ScanDirection, at point: ReadPoint = .latest
    ) throws -> StorageScan {
        try key.withUnsafeBytes {
            try versions.read(DataTables.sessions, from: .including($0), direction: direction, at: point, into: rows)
        }
    }

    // MARK: Keys

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

    /// The `lsid` whose key this is.
    static func identity(ofKey key: [UInt8]) -> Document {
        Document { writer in
            key.withUnsafeBytes { bytes in
                writer.append("id", binary: UnsafeRawBufferPointer(rebasing: bytes[1..<17]), subtype: 4)
                guard bytes.count > 17 else { return }
                writer.append("uid", binary: UnsafeRawBufferPointer(rebasing: bytes[17...]), subtype: 0)
            }
        }
    }

    /// Whether a stored key is that of a row, and not that of a record.
    static func isRow(_ key: [UInt8]) -> Bool { key.first.map { $0 & 2 != 0 } ?? false }

    /// The key of the session whose record or row has this key.
    static func session(ofRow key: [UInt8]) throws(InvariantViolation) -> [UInt8] {
        let count = key.first.map { $0 & 1 == 0 ? 17 : 49 } ?? 0
        guard count > 0, key.count == (isRow(key) ? count + 12 : count) else {
            throw InvariantViolation("the key of a session's row has \(key.count) bytes")
        }
        var session = Array(key[..<count])
        session[0] &= 1
        return session
    }

    /// What the keys of a session's rows begin with. No key is the prefix of another, and all records come before the
    /// first row: an initial sync may only clone rows that are newer than the record that it has.
    private static func rowPrefix(_ key: [UInt8]) -> [UInt8] {
        var prefix = key
        prefix[0] |= 2
        return prefix
    }

    /// The key of the row of a run that begins with that statement.
    private static func rowKey(_ record: SessionRecord, _ first: Int32) -> [UInt8] {
        var key = rowPrefix(record.key)
        withUnsafeBytes(of: UInt64(bitPattern: record.transactionNumber).bigEndian) { key += $0 }
        // Statement numbers are the client's, and may be negative.
        withUnsafeBytes(of: (UInt32(bitPattern: first) ^ 1 << 31).bigEndian) { key += $0 }
        return key
    }

    /// The transaction number of a row of this session; nil for a key of another.
    private static func number(_ key: UnsafeRawBufferPointer, _ record: SessionRecord) -> UInt64? {
        let prefix = rowPrefix(record.key)
        guard key.count == prefix.count + 12, key.starts(with: prefix) else { return nil }
        return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: prefix.count, as: UInt64.self))
    }
}
