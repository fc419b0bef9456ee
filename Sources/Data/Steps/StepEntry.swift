import BSON
import Core

/// The oplog entry of a step, in MongoDB's shape:
/// `{lsid, txnNumber, op, ns, ui, o, o2, ts, t, v: 2, wall, stmtId, prevOpTime}`, without the fields that do not apply.
///
/// A step has one operation, which is written in place. Several go into one entry when the step groups them:
/// `{op: "c", ns: "admin.$cmd", o: {applyOps: [{op, ns, ui, o, o2}]}, ts, t, v, wall}`. A grouping step has this form
/// for a single operation, too.
final class StepEntry {
    /// The version of the entry format.
    static let version: Int64 = 2

    /// What all entries have beside `o` and `o2`.
    struct Header {
        let op: StaticString
        let namespace: UnsafeRawBufferPointer
        let uuid: CollectionUUID?
        let optime: OpTime
        let wall: WallTime
        var statement: Statement?
        var isFromMigration = false
        /// An insert that an upsert made: a retry answers with its `_id`.
        var isUpsert = false
        /// Which image a findAndModify answers with: `preImage` or `postImage`.
        var retryImage: RetryImage?
    }

    /// Whether operations are gathered into one entry. Said before the first.
    @exclusivity(unchecked) var isGrouping = false
    private let batch: WriteBatch
    /// The operations of a grouping step, one document behind the other.
    private let operations = ByteBuffer(capacity: 64)
    @exclusivity(unchecked) private var operationCount = 0
    @exclusivity(unchecked) private var wall = WallTime(milliseconds: 0)

    init(of batch: WriteBatch) { self.batch = batch }

    /// Adds an operation.
    /// - Throws: `InvariantViolation` when a second one comes to a step that does not group.
    @inline(__always)
    func add(_ header: Header, o: (DocumentWriter) -> Void, o2: (DocumentWriter) -> Void = { _ in }) throws {
        if isGrouping { return try addToGroup(header, o: o, o2: o2) }
        try invariant(operationCount == 0, "a second operation in a step with an entry of one")
        operationCount = 1
        let start = batch.beginEntry()
        let writer = DocumentWriter(startingIn: batch.entries)
        if let statement = header.statement {
            statement.session.identity.withView { writer.append("lsid", $0) }
            writer.append("txnNumber", int64: statement.transactionNumber)
        }
        StepEntry.write(header, to: writer, o: o, o2: o2)
        StepEntry.writeTime(header.optime, header.wall, to: writer)
        if header.isFromMigration { writer.append("fromMigrate", bool: true) }
        if let statement = header.statement {
            writer.append("stmtId", int32: statement.id)
            let previous = statement.session.transactionNumber == statement.transactionNumber
            writer.append("prevOpTime", previous ? statement.session.lastWrite : .null)
            if header.isUpsert { writer.append("b", bool: true) }
            if let image = header.retryImage { writer.append("needsRetryImage", string: image.name) }
        }
        writer.finish()
        batch.endEntry(start, optime: header.optime)
    }

    @inline(never)
    private func addToGroup(_ header: Header, o: (DocumentWriter) -> Void, o2: (DocumentWriter) -> Void) throws {
        // Retries are answered by a record of the whole group, which is its owner's to write.
        try invariant(header.statement == nil, "a retryable statement in a step that groups its operations")
        operationCount += 1
        wall = header.wall
        let writer = DocumentWriter(startingIn: operations)
        StepEntry.write(header, to: writer, o: o, o2: o2)
        if header.isFromMigration { writer.append("fromMigrate", bool: true) }
        writer.finish()
    }

    @inline(__always)
    private static func write(
        _ header: Header, to writer: DocumentWriter, o: (DocumentWriter) -> Void, o2: (DocumentWriter) -> Void
    ) {
        writer.append("op", string: header.op)
        writer.append("ns", utf8: header.namespace)
        if let uuid = header.uuid { writer.append("ui", uuid) }
        o(writer)
        o2(writer)
    }

    @inline(__always)
    private static func writeTime(_ optime: OpTime, _ wall: WallTime, to writer: DocumentWriter) {
        writer.append("ts", timestamp: optime.timestamp)
        writer.append("t", int64: optime.term)
        writer.append("v", int64: version)
        writer.append("wall", dateTime: wall.milliseconds)
    }

    /// Takes an entry that another member has written.
    func take(_ entry: UnsafeRawBufferPointer, optime: OpTime) throws {
        try invariant(operationCount == 0, "a step takes an entry and has one already")
        operationCount = 1
        batch.appendEntry(entry, optime: optime)
    }

    /// Completes the entry. Returns whether there is one.
    /// - Throws: `TransactionTooLarge` (257) when the operations make no entry of the size that entries may have.
    @inline(__always)
    func close(at optime: OpTime?) throws -> Bool {
        guard operationCount > 0 else { return false }
        if isGrouping, let optime { try closeGroup(at: optime) }
        return true
    }

    @inline(never)
    private func closeGroup(at optime: OpTime) throws {
        guard operations.count <= Limits.documentBytesMax else {
            throw ServerError(
                .transactionTooLarge,
                "the operations of one step take \(operations.count) bytes: an oplog entry holds "
                    + "\(Limits.documentBytesMax) of them")
        }
        let start = batch.beginEntry()
        let writer = DocumentWriter(startingIn: batch.entries)
        writer.append("op", string: "c")
        writer.append("ns", string: "admin.$cmd" as StaticString)
        writer.document("o") { o in
            o.array("applyOps") { array in
                var offset = 0
                while offset < operations.count {
                    let operation = DocumentView(base: UnsafeRawPointer(operations.base + offset))
                    array.append(operation)
                    offset += operation.byteCount
                }
            }
        }
        StepEntry.writeTime(optime, wall, to: writer)
        writer.finish()
        batch.endEntry(start, optime: optime)
    }

    // MARK: Marks

    struct Mark {
        fileprivate let bytes: Int
        fileprivate let operations: Int
    }

    var mark: Mark { Mark(bytes: operations.count, operations: operationCount) }

    /// The batch is rewound by its own mark.
    func rewind(to mark: Mark) {
        operations.truncate(to: mark.bytes)
        operationCount = mark.operations
    }

    func removeAll() {
        operationCount = 0
        guard isGrouping else { return }
        operations.removeAll(keeping: 1 << 20)
        isGrouping = false
    }
}

/// Which state of the document a findAndModify answers with, and so what its session record keeps.
enum RetryImage {
    case before, after

    var name: StaticString {
        switch self {
        case .before: "preImage"
        case .after: "postImage"
        }
    }

    init?(_ value: ValueView?) {
        switch value?.asString {
        case "preImage": self = .before
        case "postImage": self = .after
        default: return nil
        }
    }
}
