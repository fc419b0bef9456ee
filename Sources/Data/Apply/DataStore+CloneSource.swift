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
        try RecordKey(after).withBytes { key in
            let scan = try versions.read(
                collection.table, from: .behind(key), direction: .forward, at: .latest, into: rows)
            if case .notResident = scan, rows.count == 0 {
                throw StorageNotResident(collection.table, UnsafeRawBufferPointer(key))
            }
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
        return rows.isFull ? last : nil
    }

    /// Calls `body` with the stored session records behind `after`. Returns the last key when there may be more.
    public func readSessions(after: [UInt8], limit: Int, _ body: (DocumentView) throws -> Void) throws -> [UInt8]? {
        let rows = RowBuffer(limit: limit)
        try after.withUnsafeBytes { key in
            _ = try versions.read(
                DataTables.sessions, from: key.isEmpty ? .start : .behind(key), direction: .forward, at: .latest,
                into: rows)
        }
        for row in rows.rows { if let base = row.value.baseAddress { try body(DocumentView(base: base)) } }
        return rows.isFull ? rows.rows.last.map { [UInt8]($0.key) } : nil
    }

    /// Stores a session record as the source has it.
    public func cloneSession(_ record: DocumentView) throws {
        guard let identity = record["_id"]?.asDocument else {
            throw ServerError(.badValue, "a session record without its _id")
        }
        let key = try SessionRecords.key(identity)
        try versions.step(at: nil) { step in
            try key.withUnsafeBytes {
                try step.put(DataTables.sessions, .replicated, key: $0, value: record.bytes)
            }
        }
    }
}
