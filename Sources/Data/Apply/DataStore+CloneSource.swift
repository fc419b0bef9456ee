public import BSON
import Core

/// What another member's initial sync reads here: batches in key order, each behind a key that the reader names.
extension DataStore {
    /// Calls `body` with the documents behind record id `after`, in the order of insertion. Returns the last record id
    /// when there may be more, nil at the end.
    public func readRecords(
        of collection: Collection, after: UInt64, limit: Int, bytesMax: Int, _ body: (DocumentView) throws -> Void
    ) throws -> UInt64? {
        let rows = RowBuffer(limit: limit)
        let scan = try RecordKey(after).withBytes { key in
            try versions.read(collection.table, from: .behind(key), direction: .forward, at: .latest, into: rows)
        }
        var bytes = 0
        var last: UInt64?
        for row in rows.rows {
            guard let key = row.key.baseAddress, let document = row.value.baseAddress else { continue }
            try body(DocumentView(base: document))
            last = RecordKey(loadingFrom: key).id
            bytes += row.value.count
            if bytes >= bytesMax { return last }
        }
        if case .notResident = scan { return last }
        return rows.isFull ? last : nil
    }

    /// Calls `body` with key and document of the stored rows of sessions behind `after`. Returns the last key when
    /// there may be more.
    public func readSessions(
        after: [UInt8], limit: Int, bytesMax: Int, _ body: (UnsafeRawBufferPointer, DocumentView) throws -> Void
    ) throws -> [UInt8]? {
        let rows = RowBuffer(limit: limit)
        let scan = try after.withUnsafeBytes { key in
            try versions.read(
                DataTables.sessions, from: key.isEmpty ? .start : .behind(key), direction: .forward, at: .latest,
                into: rows)
        }
        var bytes = 0
        for row in rows.rows {
            guard let base = row.value.baseAddress else { continue }
            try body(row.key, DocumentView(base: base))
            bytes += row.value.count
            if bytes >= bytesMax { return [UInt8](row.key) }
        }
        if case .done = scan, !rows.isFull { return nil }
        return rows.rows.last.map { [UInt8]($0.key) }
    }

    /// Stores a row of a session as the source has it.
    public func cloneSession(key: UnsafeRawBufferPointer, record: DocumentView) throws {
        try versions.step(at: nil) { step in
            try step.put(DataTables.sessions, .replicated, key: key, value: record.bytes)
        }
    }
}
