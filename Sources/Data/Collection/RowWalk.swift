import Core

/// Visits every row of a table in slices, in the order of keys. Holds a key between them, not a position.
struct RowWalk {
    private let table: TableID
    private let point: ReadPoint
    private let rows = RowBuffer(limit: 64)
    private var last: [UInt8]?
    private var hasEnded = false

    init(_ table: TableID, at point: ReadPoint = .latest) {
        self.table = table
        self.point = point
    }

    /// Goes on until there is no more, or `isOver` says so between two pages of rows.
    mutating func run(
        _ versions: VersionStore, until isOver: () -> Bool,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws -> WriteProgress {
        while !hasEnded {
            let scan: StorageScan
            if let last {
                scan = try last.withUnsafeBytes {
                    try versions.read(table, from: .behind($0), direction: .forward, at: point, into: rows)
                }
            } else {
                scan = try versions.read(table, from: .start, direction: .forward, at: point, into: rows)
            }
            if case .notResident = scan, rows.count == 0 { throw StorageNotResident(table: table, key: last ?? []) }
            if let row = rows.rows.last { last = [UInt8](row.key) }
            for row in rows.rows { try body(row.key, row.value) }
            if case .done = scan { hasEnded = !rows.isFull }
            if !hasEnded, isOver() { return .yield }
        }
        return .done
    }
}
