public import BSON
import Core

/// What statements of retryable writes have done on a shard that has given a range away, as the shard that has the
/// range now knows it. Not a plug point.
public protocol MigratedStatements: AnyObject {
    /// What a statement answered; nil when it was not executed there.
    func outcome(_ session: [UInt8], _ transactionNumber: Int64, _ statement: Int32) throws -> StatementOutcome?
}

/// A run of statements of one session with one outcome, as it goes from shard to shard and is kept there.
///
///     {_id: {s: Binary, n: Int64, f: Int32}, run: {…}, at: Date}
public struct MigratedRun {
    public let session: [UInt8]
    public let transactionNumber: Int64
    let run: StatementRun

    /// Reads one.
    /// - Throws: `FailedToParse`.
    public init(_ view: DocumentView) throws {
        guard let id = view["_id"]?.asDocument, let session = id["s"]?.asBinary, let number = id["n"]?.asInteger,
            let run = view["run"]?.asDocument
        else { throw ServerError(.failedToParse, "a run of statements of another shard is not whole") }
        self.session = [UInt8](session.bytes)
        transactionNumber = number
        self.run = try StatementRun(stored: run)
    }

    /// What a statement answered, if it is one of the run.
    public func outcome(of statement: Int32) -> StatementOutcome? { run.contains(statement) ? run.outcome : nil }

    static func document(_ session: [UInt8], _ number: Int64, _ run: StatementRun, _ wall: Int64) -> Document {
        Document { writer in
            writer.document("_id") { id in
                id.append("s", .binary(subtype: 0, session))
                id.append("n", int64: number)
                id.append("f", int32: run.first)
            }
            writer.document("run") { run.write(to: $0) }
            writer.append("at", dateTime: wall)
        }
    }
}

extension SessionRecords {
    /// Runs that sessions have executed, as documents, behind a key; and the key to go on behind, nil at the end.
    public func runs(
        behind key: [UInt8], at point: ReadPoint, wall: Int64, limit: Int
    ) throws -> (runs: [Document], next: [UInt8]?) {
        let rows = RowBuffer(limit: limit)
        let scan = try key.withUnsafeBytes { bytes in
            try versions.read(
                DataTables.sessions, from: key.isEmpty ? .start : .behind(bytes), direction: .forward, at: point,
                into: rows)
        }
        var runs: [Document] = []
        for row in rows.rows {
            let rowKey = [UInt8](row.key)
            let stored = try storedDocument(row.value)
            if SessionRecords.isRow(rowKey) {
                let session = try SessionRecords.session(ofRow: rowKey)
                let number = rowKey[(rowKey.count - 12)..<(rowKey.count - 4)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                runs.append(
                    MigratedRun.document(session, Int64(bitPattern: number), try StatementRun(stored: stored), wall))
            } else {
                let record = try SessionRecord(stored: stored, key: rowKey)
                if let run = record.state.run {
                    runs.append(MigratedRun.document(rowKey, record.transactionNumber, run, wall))
                }
            }
        }
        if case .notResident = scan, rows.count == 0 { throw StorageNotResident(table: DataTables.sessions, key: key) }
        let isLast = if case .done = scan { !rows.isFull } else { false }
        return (runs, isLast ? nil : rows.rows.last.map { [UInt8]($0.key) })
    }
}
