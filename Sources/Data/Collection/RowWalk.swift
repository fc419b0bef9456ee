import Core

/// Visits every row of a table in slices, in the order of keys. Holds a key between them, not a position.
struct RowWalk {
    private let table: TableID
    private let point: ReadPoint
    private let rows: RowBuffer
    /// Where it begins; nil for the table's beginning.
    private let first: [UInt8]?
    /// The row that was visited last.
    private var last: [UInt8]?
    private var hasEnded = false

    init(_ table: TableID, at point: ReadPoint = .latest, from first: [UInt8]? = nil, rowsPerRead: Int = 64) {
        self.table = table
        self.point = point
        self.first = first
        rows = RowBuffer(limit: rowsPerRead)
    }

    /// Goes on until there is no more, or `isOver` says so between two pages of rows. After an error it goes on with
    /// the row that `body` threw at: `StorageNotResident` is one to come back from.
    mutating func run(
        _ versions: VersionStore, until isOver: () -> Bool,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws -> WriteProgress {
        while !hasEnded {
            let scan = try read(versions)
            var visited = 0
            defer { if visited > 0 { last = [UInt8](rows.rows[visited - 1].key) } }
            for row in rows.rows {
                try body(row.key, row.value)
                visited += 1
            }
            if case .done = scan { hasEnded = !rows.isFull }
            if !hasEnded, isOver() { return .yield }
        }
        return .done
    }

    private func read(_ versions: VersionStore) throws -> StorageScan {
        func read(_ bound: StorageBound) throws -> StorageScan {
            try versions.read(table, from: bound, direction: .forward, at: point, into: rows)
        }
        if let last { return try last.withUnsafeBytes { try read(.behind($0)) } }
        guard let first else { return try read(.start) }
        return try first.withUnsafeBytes { try read(.including($0)) }
    }
}
