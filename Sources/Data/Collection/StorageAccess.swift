import BSON
import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// The order of two keys: as unsigned bytes, a prefix first.
@inline(__always)
func compareBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    if let left = a.baseAddress, let right = b.baseAddress {
        let order = memcmp(left, right, min(a.count, b.count))
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}

/// The document that a stored value holds.
@inline(__always)
func storedDocument(_ bytes: UnsafeRawBufferPointer) throws(InvariantViolation) -> DocumentView {
    guard let base = bytes.baseAddress, bytes.count >= 5 else {
        throw InvariantViolation("a stored document is \(bytes.count) bytes long")
    }
    return DocumentView(base: base)
}

extension VersionStore {
    /// Calls `body` with every row of a small table.
    func forEachRow(_ table: TableID, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void) throws {
        var walk = RowWalk(table)
        _ = try walk.run(self, until: { false }, body)
    }

    /// The last key of a table, valid until the next commit; nil when it is empty.
    func lastKey(_ table: TableID) throws -> UnsafeRawBufferPointer? {
        let rows = RowBuffer(limit: 1)
        _ = try read(table, from: .start, direction: .backward, at: .latest, into: rows)
        return rows.rows.first?.key
    }
}
