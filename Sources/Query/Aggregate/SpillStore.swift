import BSON

/// Where blocking stages put what their memory has no room for. Not a plug point: a member's temporary tables.
public protocol SpillStore: AnyObject {
    /// An empty table, which lasts until it is dropped, or the member stops.
    func makeTable() throws -> any SpillTable
}

/// One temporary table: rows in the order of their keys (`memcmp`, a prefix first).
public protocol SpillTable: AnyObject {
    /// Puts rows, all of them or none.
    func put(_ rows: SpillRows) throws
    /// Shows up to `limit` rows behind `key`, from the first on when that is nil, in order; they are valid during the
    /// call. Returns whether more may follow.
    /// - Throws: as reads of the store do when a row has to be brought into memory first: then ask again.
    func read(
        behind key: [UInt8]?, limit: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool
    /// Gives the table back. Twice is harmless.
    func drop()
}

/// Rows on their way into a table, gathered so that many go in one step.
public final class SpillRows {
    private struct Row {
        let start: Int
        let keyCount: Int
        let valueCount: Int
    }

    private let bytes = ByteBuffer()
    private var rows: [Row] = []

    public var byteCount: Int { bytes.count }
    /// Whether there is none.
    public var isEmpty: Bool { rows.isEmpty }

    /// Adds a row; what `body` appends to the buffer is its key, then come the eight bytes of `number`.
    func append(number: UInt64, value: UnsafeRawBufferPointer, key body: (ByteBuffer) throws -> Void) rethrows {
        let start = bytes.count
        try body(bytes)
        withUnsafeBytes(of: number.bigEndian) { bytes.append($0) }
        let keyCount = bytes.count - start
        bytes.append(value)
        rows.append(Row(start: start, keyCount: keyCount, valueCount: value.count))
    }

    func removeAll() {
        bytes.removeAll(keeping: 1 << 20)
        rows.removeAll(keepingCapacity: true)
    }

    /// Shows the rows in the order in which they were added.
    public func forEach(
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        for row in rows {
            let base = UnsafeRawPointer(bytes.base) + row.start
            try body(
                UnsafeRawBufferPointer(start: base, count: row.keyCount),
                UnsafeRawBufferPointer(start: base + row.keyCount, count: row.valueCount))
        }
    }
}
