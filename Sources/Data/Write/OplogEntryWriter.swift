import BSON
import Core

/// Writes oplog entries in MongoDB's shape into one reused buffer:
/// `{lsid, txnNumber, op, ns, ui, o, o2, ts, t, v: 2, wall, stmtId, prevOpTime}`, without the fields that do not apply.
final class OplogEntryWriter {
    let buffer = ByteBuffer(capacity: 4096)

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

    /// Writes one entry and returns its bytes, valid until the next.
    @inline(__always)
    func write(_ header: Header, o: (DocumentWriter) -> Void, o2: (DocumentWriter) -> Void = { _ in })
        -> UnsafeRawBufferPointer
    {
        buffer.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: buffer)
        if let statement = header.statement {
            statement.session.identity.withView { writer.append("lsid", $0) }
            writer.append("txnNumber", int64: statement.transactionNumber)
        }
        writer.append("op", string: header.op)
        writer.append("ns", utf8: header.namespace)
        if let uuid = header.uuid { writer.append("ui", uuid) }
        o(writer)
        o2(writer)
        writer.append("ts", timestamp: header.optime.timestamp)
        writer.append("t", int64: header.optime.term)
        writer.append("v", int64: OplogEntryWriter.version)
        writer.append("wall", dateTime: header.wall.milliseconds)
        if header.isFromMigration { writer.append("fromMigrate", bool: true) }
        if let statement = header.statement {
            writer.append("stmtId", int32: statement.id)
            let previous = statement.session.transactionNumber == statement.transactionNumber
            writer.append("prevOpTime", previous ? statement.session.lastWrite : .null)
            if header.isUpsert { writer.append("b", bool: true) }
            if let image = header.retryImage { writer.append("needsRetryImage", string: image.name) }
        }
        writer.finish()
        return buffer.bytes
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
