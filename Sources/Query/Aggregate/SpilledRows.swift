import BSON
import Core

/// Rows that a stage keeps outside of its memory: written in groups, then read back in the order of their keys.
final class SpilledRows {
    /// Rows that are read at once.
    private static let rowsAtOnce = 64
    /// Bytes of rows that are gathered for one step.
    private static let bytesAtOnce = 1 << 16

    private let table: any SpillTable
    private let rows = SpillRows()
    /// Rows so far: each key ends with the number of its row, so that none replaces another.
    private(set) var count: UInt64 = 0

    // MARK: Reading

    private var page: [(key: [UInt8], value: Document)] = []
    private var index = 0
    private var lastKey: [UInt8]?
    private var hasMore = true
    private var isDropped = false

    init(_ store: any SpillStore) throws { table = try store.makeTable() }

    deinit { drop() }

    func drop() {
        guard !isDropped else { return }
        isDropped = true
        table.drop()
    }

    /// Adds a row whose key `body` appends. `flush` puts what was gathered into the table: when it is full, and at the
    /// end.
    func append(_ value: DocumentView, key body: (ByteBuffer) throws -> Void) rethrows {
        try rows.append(number: count, value: value.bytes, key: body)
        count += 1
    }

    /// Whether enough rows are gathered for one step.
    var isFull: Bool { rows.byteCount >= SpilledRows.bytesAtOnce }

    /// Puts the gathered rows into the table.
    func flush() throws {
        guard !rows.isEmpty else { return }
        try table.put(rows)
        rows.removeAll()
    }

    /// The next row in order, without taking it; nil behind the last. `flush` was called.
    func peek() throws -> (key: ArraySlice<UInt8>, value: Document)? {
        if index == page.count {
            guard hasMore else { return nil }
            page.removeAll(keepingCapacity: true)
            index = 0
            hasMore = try table.read(behind: lastKey, limit: SpilledRows.rowsAtOnce) { key, value in
                guard let base = value.baseAddress else { return }
                page.append((Array(key), DocumentView(base: base).document))
            }
            if let last = page.last { lastKey = last.key }
            if page.isEmpty { return nil }
        }
        // Without the number of the row.
        return (page[index].key.dropLast(8), page[index].value)
    }

    /// Takes the row that `peek` has shown.
    func advance() { index += 1 }
}
