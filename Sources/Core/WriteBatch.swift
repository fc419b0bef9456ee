public import BSON

/// Operations on tables that take effect together, with the oplog entries that describe them (`WriteBatch+Log`).
/// Reused: `removeAll` keeps its memory.
///
/// Held as flat bytes, so that an engine can walk it, write it to a journal, or hand it to C, without an allocation an
/// operation: `kind u8, table u32, keyLength u32, valueLength u32, key, value`, little-endian.
public final class WriteBatch {
    public enum Kind: UInt8 {
        case put = 1
        case delete = 2
        /// Removes every entry of the table; the key is empty.
        case dropTable = 3
    }

    @frozen public struct Operation {
        @inlinable init(
            kind: Kind, table: TableID, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
        ) {
            self.kind = kind
            self.table = table
            self.key = key
            self.value = value
        }
        public let kind: Kind
        public let table: TableID
        public let key: UnsafeRawBufferPointer
        public let value: UnsafeRawBufferPointer
    }

    public let buffer: ByteBuffer
    @exclusivity(unchecked) public internal(set) var count = 0

    // What it does to the log.
    public let entries = ByteBuffer(capacity: 1024)
    @exclusivity(unchecked) public internal(set) var entryCount = 0
    /// Entries behind this one go; nil: none do.
    @exclusivity(unchecked) public internal(set) var truncatesAfter: Timestamp?
    /// Entries up to this one go; `.max` for all of them.
    @exclusivity(unchecked) public internal(set) var truncatesThrough: Timestamp?

    static let headerBytes = 13

    /// What an operation adds to the batch.
    public static func operationBytes(key: Int, value: Int) -> Int { headerBytes + key + value }

    public init(capacity: Int = 1024) { buffer = ByteBuffer(capacity: capacity) }

    public var isEmpty: Bool { count == 0 }
    public var byteCount: Int { buffer.count }

    public func removeAll() {
        buffer.removeAll(keeping: 1 << 20)
        count = 0
        guard changesLog else { return }
        entries.removeAll(keeping: 1 << 20)
        entryCount = 0
        truncatesAfter = nil
        truncatesThrough = nil
    }

    /// Drops the operations behind a point that `mark` returned: a statement that failed half-way.
    public func rewind(to mark: Mark) {
        buffer.truncate(to: mark.bytes)
        count = mark.count
        entries.truncate(to: mark.entryBytes)
        entryCount = mark.entryCount
    }
    public struct Mark {
        let bytes: Int
        let count: Int
        let entryBytes: Int
        let entryCount: Int
    }
    public var mark: Mark {
        Mark(bytes: buffer.count, count: count, entryBytes: entries.count, entryCount: entryCount)
    }

    @inline(__always)
    private func header(_ kind: Kind, _ table: TableID, _ key: Int, _ value: Int) -> UnsafeMutableRawPointer {
        let at = buffer.extend(by: WriteBatch.headerBytes + key + value)
        at.storeBytes(of: kind.rawValue, as: UInt8.self)
        at.storeBytes(of: table.rawValue.littleEndian, toByteOffset: 1, as: UInt32.self)
        at.storeBytes(of: UInt32(truncatingIfNeeded: key).littleEndian, toByteOffset: 5, as: UInt32.self)
        at.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, toByteOffset: 9, as: UInt32.self)
        count += 1
        return at + WriteBatch.headerBytes
    }

    @inline(__always)
    public func put(_ table: TableID, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let at = header(.put, table, key.count, value.count)
        if let source = key.baseAddress { at.copyMemory(from: source, byteCount: key.count) }
        if let source = value.baseAddress { (at + key.count).copyMemory(from: source, byteCount: value.count) }
    }

    @inline(__always)
    public func delete(_ table: TableID, key: UnsafeRawBufferPointer) {
        let at = header(.delete, table, key.count, 0)
        if let source = key.baseAddress { at.copyMemory(from: source, byteCount: key.count) }
    }

    public func dropTable(_ table: TableID) { _ = header(.dropTable, table, 0, 0) }

    /// Calls `body` for each operation in order; the pointers are valid until the batch changes.
    @inlinable
    public func forEach<E: Error>(_ body: (Operation) throws(E) -> Void) throws(E) {
        var at = UnsafeRawPointer(buffer.base)
        let end = at + buffer.count
        while at < end {
            let keyCount = Int(UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 5, as: UInt32.self)))
            let valueCount = Int(UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 9, as: UInt32.self)))
            let key = UnsafeRawBufferPointer(start: at + 13, count: keyCount)
            let value = UnsafeRawBufferPointer(start: at + 13 + keyCount, count: valueCount)
            let kind = Kind(rawValue: at.load(as: UInt8.self))!
            let table = TableID(rawValue: UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
            try body(Operation(kind: kind, table: table, key: key, value: value))
            at += 13 + keyCount + valueCount
        }
    }
}
