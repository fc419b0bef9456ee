public import BSON
public import Core

/// An oplog entry in place: its fields found in one walk.
public struct OplogEntryView {
    public let entry: DocumentView
    public let optime: OpTime
    public let op: UInt8
    public let namespace: UnsafeRawBufferPointer
    public let uuid: CollectionUUID?
    /// The operation: the document, the delta, the `_id` or the command.
    public let object: DocumentView
    public let object2: DocumentView?
    public let wall: WallTime
    let lsid: DocumentView?
    let transactionNumber: Int64?
    let statement: Int32?
    let isUpsert: Bool
    let retryImage: RetryImage?

    /// Finds the fields; `BadValue` (2) names the one that is missing or of another type.
    public init(_ entry: DocumentView) throws(ServerError) { try self.init(entry, of: nil) }

    /// One of the operations that an entry groups: it has the time of the entry.
    init(_ operation: DocumentView, of group: OplogEntryView) throws(ServerError) {
        try self.init(operation, of: Optional(group))
    }

    private init(_ entry: DocumentView, of group: OplogEntryView?) throws(ServerError) {
        self.entry = entry
        var timestamp: Timestamp?
        var term: Int64 = -1
        var op: UnsafeRawBufferPointer?
        var namespace: UnsafeRawBufferPointer?
        var uuid: CollectionUUID?
        var object: DocumentView?
        var object2: DocumentView?
        var wall: Int64 = 0
        var lsid: DocumentView?
        var transactionNumber: Int64?
        var statement: Int32?
        var isUpsert = false
        var retryImage: RetryImage?
        for element in entry {
            let value = element.value
            switch element.key {
            case "op": op = value.asStringBytes
            case "ns": namespace = value.asStringBytes
            case "ui": uuid = CollectionUUID(value)
            case "o": object = value.asDocument
            case "o2": object2 = value.asDocument
            case "ts": timestamp = value.asTimestamp
            case "t": term = value.asInteger ?? -1
            case "wall": wall = value.asDateTime ?? 0
            case "lsid": lsid = value.asDocument
            case "txnNumber": transactionNumber = value.asInteger
            case "stmtId": statement = value.asInteger.flatMap { Int32(exactly: $0) }
            case "b": isUpsert = value.isTruthy
            case "needsRetryImage": retryImage = RetryImage(value)
            default: break
            }
        }
        if let group { (timestamp, term, wall) = (group.optime.timestamp, group.optime.term, group.wall.milliseconds) }
        guard let timestamp else { throw OplogEntryView.malformed("ts") }
        guard let op, op.count > 0 else { throw OplogEntryView.malformed("op") }
        guard let namespace else { throw OplogEntryView.malformed("ns") }
        guard let object else { throw OplogEntryView.malformed("o") }
        optime = OpTime(term: term, timestamp: timestamp)
        self.op = op[0]
        self.namespace = namespace
        self.uuid = uuid
        self.object = object
        self.object2 = object2
        self.wall = WallTime(milliseconds: wall)
        self.lsid = lsid
        self.transactionNumber = transactionNumber
        self.statement = statement
        self.isUpsert = isUpsert
        self.retryImage = retryImage
    }

    private static func malformed(_ field: String) -> ServerError {
        ServerError(.badValue, "an oplog entry has no valid field '\(field)'")
    }

    /// The database of the namespace.
    var database: String {
        String(decoding: namespace.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)
    }
}
