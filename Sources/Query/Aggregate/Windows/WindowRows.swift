import BSON
import Core

/// The documents of a partition that windows still reach, by their numbers: the first in memory, and, when that is used
/// up, the others in a temporary table.
final class WindowRows {
    struct Row {
        let document: Document
        let inputs: [WindowInput]
        let bytes: Int
    }

    private let memory: StageMemory
    private var kept = WindowQueue<Row>()
    private var table: (any SpillTable)?
    private let pending = SpillRows()
    private let wrapped = ByteBuffer()
    /// The number of the first row in the table, and of the first that is still on its way there.
    private var spilledFrom = 0
    private var flushedTo = 0
    /// Pieces of the table that were read, for windows that begin and end in different ones.
    private var pages: [(from: Int, rows: [Row])] = []
    private var nextPage = 0
    /// The number of the first row that is there, and of the next one.
    private(set) var base = 0
    private(set) var end = 0
    /// Bytes of the rows in memory.
    private(set) var bytes = 0

    private static let rowsPerPage = 64
    private static let pagesMax = 8
    private static let bytesAtOnce = 1 << 16

    init(_ memory: StageMemory) { self.memory = memory }

    deinit { close() }

    func close() {
        table?.drop()
        table = nil
    }

    func append(_ row: Row) throws {
        if table == nil, bytes + row.bytes > memory.bytesMax / 2, let store = memory.store {
            table = try store.makeTable()
            spilledFrom = end
            flushedTo = end
        }
        if table != nil {
            wrapped.removeAll(keeping: 1 << 20)
            WindowRows.write(row, to: wrapped)
            pending.append(
                number: UInt64(end), value: UnsafeRawBufferPointer(start: wrapped.base, count: wrapped.count)
            ) { _ in }
            if pending.byteCount >= WindowRows.bytesAtOnce { try flush(upTo: end + 1) }
        } else {
            kept.append(row)
            bytes += row.bytes
        }
        end += 1
    }

    private func flush(upTo number: Int) throws {
        guard !pending.isEmpty else { return }
        try table?.put(pending)
        pending.removeAll()
        flushedTo = number
        // A piece that was read before it was full.
        pages.removeAll { $0.rows.count < WindowRows.rowsPerPage }
    }

    /// The row with that number, which must be there.
    func row(_ number: Int) throws -> Row {
        if table == nil || number < spilledFrom { return kept[number - base] }
        if let row = found(number) { return row }
        if number >= flushedTo { try flush(upTo: end) }
        let from = number - (number - spilledFrom) % WindowRows.rowsPerPage
        var rows: [Row] = []
        let before: [UInt8]? = from == 0 ? nil : withUnsafeBytes(of: UInt64(from - 1).bigEndian) { Array($0) }
        _ = try table?.read(behind: before, limit: WindowRows.rowsPerPage) { _, value in
            guard let base = value.baseAddress else { return }
            rows.append(try WindowRows.read(DocumentView(base: base)))
        }
        if pages.count < WindowRows.pagesMax {
            pages.append((from, rows))
        } else {
            pages[nextPage % WindowRows.pagesMax] = (from, rows)
            nextPage += 1
        }
        guard let row = found(number) else {
            throw ServerError(.internalError, "a row of a temporary table is not there")
        }
        return row
    }

    private func found(_ number: Int) -> Row? {
        for page in pages where number >= page.from && number < page.from + page.rows.count {
            return page.rows[number - page.from]
        }
        return nil
    }

    /// Forgets the rows before `number`.
    func removeAll(before number: Int) {
        while base < min(number, end) {
            if table == nil || base < spilledFrom, let row = kept.removeFirst() { bytes -= row.bytes }
            base += 1
        }
    }

    // MARK: The stored form

    private static func write(_ row: Row, to buffer: ByteBuffer) {
        let writer = DocumentWriter(startingIn: buffer)
        writer.append("d", row.document)
        if let input = row.inputs.first {
            writer.append("r", int64: Int64(input.rank))
            writer.append("n", int64: Int64(input.number))
            writer.append("f", int64: Int64(input.firstOfRank))
            if let position = input.position { writer.append("p" as String, position) }
        }
        writer.append("c", int64: Int64(row.inputs.count))
        writer.document("v") { values in
            for (index, input) in row.inputs.enumerated() {
                if let value = input.value { values.append(String(index), value) }
            }
        }
        writer.finish()
    }

    private static func read(_ stored: DocumentView) throws(ServerError) -> Row {
        guard let document = stored["d"]?.asDocument, let count = stored["c"]?.asInteger,
            let values = stored["v"]?.asDocument
        else { throw ServerError(.internalError, "a row of a temporary table is not readable") }
        let number = { (name: String) in Int(truncatingIfNeeded: stored[name]?.asInteger ?? 0) }
        let position = stored["p"].map { Value($0) }
        let inputs = (0..<Int(clamping: count)).map { index in
            WindowInput(
                value: values[String(index)].map { Value($0) }, position: position, rank: number("r"),
                number: number("n"), firstOfRank: number("f"))
        }
        return Row(document: document.document, inputs: inputs, bytes: stored.byteCount)
    }
}
