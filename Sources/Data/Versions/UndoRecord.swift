import BSON
import Core

/// Keys and values of the undo table.
///
/// Key: `timestamp (8) | term (8) | sequence (4)`, big-endian. Value: what the keys of one step were before it, as
/// operations that restore them, laid out as in a `WriteBatch`. A step has one record, or several when it replaced a
/// lot. The key of time zero holds the floor: everything at or before the optime in its value may be missing.
/// Behind the floor, laid out in the same way, is what was known to be committed then.
enum UndoRecord {
    static let keyBytes = 20

    static func makeKey(_ optime: OpTime, _ sequence: UInt32, in buffer: ByteBuffer) -> UnsafeRawBufferPointer {
        buffer.removeAll()
        let at = buffer.extend(by: keyBytes)
        at.storeBytes(of: optime.timestamp.rawValue.bigEndian, as: UInt64.self)
        at.storeBytes(of: optime.term.bigEndian, toByteOffset: 8, as: Int64.self)
        at.storeBytes(of: sequence.bigEndian, toByteOffset: 16, as: UInt32.self)
        return buffer.bytes
    }

    static func parseKey(_ key: UnsafeRawBufferPointer) throws -> (optime: OpTime, sequence: UInt32) {
        try invariant(key.count == keyBytes, "an undo key is \(key.count) bytes long")
        let timestamp = UInt64(bigEndian: key.loadUnaligned(as: UInt64.self))
        let term = Int64(bigEndian: key.loadUnaligned(fromByteOffset: 8, as: Int64.self))
        let sequence = UInt32(bigEndian: key.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        return (OpTime(term: term, timestamp: Timestamp(rawValue: timestamp)), sequence)
    }

    /// The floor's value: two keys, whose sequences mean nothing.
    static func makeFloor(_ floor: OpTime, committed: OpTime, in buffer: ByteBuffer) -> [UInt8] {
        [UInt8](makeKey(floor, 0, in: buffer)) + [UInt8](makeKey(committed, 0, in: buffer))
    }

    static func parseFloor(_ value: UnsafeRawBufferPointer) throws -> (floor: OpTime, committed: OpTime) {
        try invariant(value.count == 2 * keyBytes, "the floor of the undo is \(value.count) bytes long")
        return (
            try parseKey(UnsafeRawBufferPointer(rebasing: value[..<keyBytes])).optime,
            try parseKey(UnsafeRawBufferPointer(rebasing: value[keyBytes...])).optime
        )
    }

    /// Before every step's key.
    static func floorKey(in buffer: ByteBuffer) -> UnsafeRawBufferPointer {
        makeKey(OpTime(term: 0, timestamp: .zero), 0, in: buffer)
    }

    /// One restored key: its table, and its value or nil when it was not there.
    struct Image {
        let table: TableID
        let key: UnsafeRawBufferPointer
        let value: UnsafeRawBufferPointer?
        /// Where the next begins.
        let end: Int
    }

    /// Reads the image at `offset`; nil at the end. Throws on bytes that no step wrote.
    static func image(in bytes: UnsafeRawBufferPointer, at offset: Int) throws -> Image? {
        guard offset < bytes.count else { return nil }
        let header = 13
        try invariant(bytes.count - offset >= header, "an undo record ends inside an image")
        let kind = bytes[offset]
        let table = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
        let keyCount = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 5, as: UInt32.self)))
        let valueCount = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 9, as: UInt32.self)))
        let end = offset + header + keyCount + valueCount
        try invariant(kind == 1 || kind == 2, "an undo image has kind \(kind)")
        try invariant(keyCount > 0 && end <= bytes.count, "an undo image is longer than its record")
        let key = UnsafeRawBufferPointer(rebasing: bytes[(offset + header)..<(offset + header + keyCount)])
        let value = UnsafeRawBufferPointer(rebasing: bytes[(offset + header + keyCount)..<end])
        return Image(table: TableID(rawValue: table), key: key, value: kind == 1 ? value : nil, end: end)
    }
}

/// The steps that the undo table holds, oldest first: what pruning and rollback need without reading the table.
struct UndoLog {
    struct Step {
        let optime: OpTime
        /// Sequence numbers that are still there: `first ..< end`.
        var first: UInt32
        var end: UInt32
        var bytes: Int
    }

    private var steps: [Step] = []
    /// The first step that is still in the table, and the first that the commit point has not passed.
    private var head = 0
    private var committed = 0
    /// Bytes of the records above the commit point.
    private(set) var openBytes = 0

    /// Steps that the commit point has passed and that are still in the table.
    var dueCount: Int { committed - head }
    /// A step that is due to be pruned.
    func due(_ index: Int) -> Step { steps[head + index] }
    var last: Step? { steps.count > head ? steps[steps.count - 1] : nil }
    var isEmpty: Bool { head == steps.count }

    mutating func removeAll() { self = UndoLog() }

    /// The sequence number of the next record of `optime`.
    func nextSequence(for optime: OpTime) -> UInt32 {
        guard let last, last.optime == optime else { return 0 }
        return last.end
    }

    mutating func append(_ optime: OpTime, sequences: Range<UInt32>, bytes: Int) {
        openBytes += bytes
        if let last, last.optime == optime, committed < steps.count {
            steps[steps.count - 1].end = sequences.upperBound
            steps[steps.count - 1].bytes += bytes
        } else {
            steps.append(
                Step(optime: optime, first: sequences.lowerBound, end: sequences.upperBound, bytes: bytes))
        }
    }

    /// Marks what the commit point has passed; each step is looked at once.
    mutating func commit(through optime: OpTime) {
        while committed < steps.count, steps[committed].optime.timestamp <= optime.timestamp {
            openBytes -= steps[committed].bytes
            committed += 1
        }
    }

    /// Forgets the oldest step, which the commit point has passed.
    mutating func removeFirst() {
        head += 1
        if head >= 1024, head * 2 >= steps.count {
            steps.removeFirst(head)
            committed -= head
            head = 0
        }
    }

    /// Forgets the newest record, which was undone.
    mutating func removeLast(bytes: Int) {
        guard let last, committed < steps.count else { return }
        openBytes -= bytes
        steps[steps.count - 1].bytes -= bytes
        steps[steps.count - 1].end -= 1
        if last.end - 1 <= last.first { steps.removeLast() }
    }
}
