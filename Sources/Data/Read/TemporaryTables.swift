import BSON
import Core
public import Query

/// The temporary tables of a member: what blocking stages spill, in its own storage engine. They are not replicated,
/// are in no catalog, and are gone when the member starts again.
public final class TemporaryTables: SpillStore {
    private unowned let versions: VersionStore
    private var free: [UInt32] = []
    private var next = DataTables.firstTemporary
    /// Tables of an earlier one are gone.
    fileprivate private(set) var generation = 0
    /// Rows put and their bytes, for statistics.
    public private(set) var spilledBytes: Int64 = 0

    init(_ versions: VersionStore) { self.versions = versions }

    /// Drops what an earlier run of the member has left.
    func reset() throws {
        free = []
        next = DataTables.firstTemporary
        generation += 1
        try versions.step(at: nil) { step in
            for number in DataTables.firstTemporary..<DataTables.firstOfCollections {
                step.dropTable(TableID(rawValue: number))
            }
        }
    }

    public func makeTable() throws -> any SpillTable {
        if let number = free.popLast() { return TemporaryTable(TableID(rawValue: number), self) }
        guard next < DataTables.firstOfCollections else {
            throw ServerError(
                .exceededMemoryLimit,
                "all \(DataTables.firstOfCollections - DataTables.firstTemporary) temporary tables are in use")
        }
        defer { next += 1 }
        return TemporaryTable(TableID(rawValue: next), self)
    }

    fileprivate func put(_ rows: SpillRows, _ table: TableID) throws {
        try versions.step(at: nil) { step in
            try rows.forEach { try step.put(table, .local, key: $0, value: $1) }
        }
        spilledBytes &+= Int64(rows.byteCount)
    }

    fileprivate func read(_ table: TableID, from bound: StorageBound, into rows: RowBuffer) throws {
        let scan = try versions.engine.read(versions.cursor(table), from: bound, direction: .forward, into: rows)
        if rows.count == 0, case .notResident = scan { throw StorageNotResident(table: table, key: []) }
    }

    fileprivate func drop(_ table: TableID) {
        // An error of the engine stops the member where it is written to next.
        try? versions.step(at: nil) { $0.dropTable(table) }
        free.append(table.rawValue)
    }
}

private final class TemporaryTable: SpillTable {
    private let table: TableID
    private let tables: TemporaryTables
    private let generation: Int
    private let rows = RowBuffer(limit: 64)
    private var isDropped = false

    init(_ table: TableID, _ tables: TemporaryTables) {
        self.table = table
        self.tables = tables
        generation = tables.generation
    }

    private func checkGeneration() throws(ServerError) {
        guard generation == tables.generation else {
            throw ServerError(.queryPlanKilled, "the member's data was loaded anew")
        }
    }

    func put(_ rows: SpillRows) throws {
        try checkGeneration()
        try tables.put(rows, table)
    }

    func read(
        behind key: [UInt8]?, limit: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool {
        try checkGeneration()
        rows.removeAll()
        rows.limit = limit
        if let key {
            try key.withUnsafeBytes { try tables.read(table, from: .behind($0), into: rows) }
        } else {
            try tables.read(table, from: .start, into: rows)
        }
        for row in rows.rows { try body(row.key, row.value) }
        return rows.count == limit
    }

    func drop() {
        guard !isDropped else { return }
        isDropped = true
        if generation == tables.generation { tables.drop(table) }
    }
}
