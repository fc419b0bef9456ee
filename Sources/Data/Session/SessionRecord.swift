public import BSON
public import Core

/// What one executed statement answers when it is sent again.
public struct StatementOutcome: Hashable, Sendable {
    /// The operation of its entry.
    public enum Kind: Int32, Sendable { case insert, update, delete }
    public var kind: Kind
    /// Documents matched, inserted or deleted.
    public var n: Int32
    public var nModified: Int32
    /// `{_id}` of the document that an upsert inserted.
    public var upserted: Document?
    /// The document that a findAndModify answers with, before its projection.
    public var image: Document?

    public init(kind: Kind, n: Int32, nModified: Int32 = 0, upserted: Document? = nil, image: Document? = nil) {
        self.kind = kind
        self.n = n
        self.nModified = nModified
        self.upserted = upserted
        self.image = image
    }
}

/// The write history of one session: all that a repeated retryable write needs (DESIGN §4).
///
/// Shared by the commands of the session that run at the same time, so that each sees the others' statements.
public final class SessionRecord {
    /// A run of consecutive statements with one outcome.
    struct Range: Equatable {
        var first: Int32
        var last: Int32
        var outcome: StatementOutcome
    }

    /// The `lsid` of entries.
    public let identity: Document
    /// The key of the record's table: the session's id and the digest of its user, when it has one.
    let key: [UInt8]
    /// The newest transaction number that wrote; -1 before the first.
    public internal(set) var transactionNumber: Int64 = -1
    /// The optime of its newest write.
    public internal(set) var lastWrite = OpTime.null
    var lastWall = WallTime(milliseconds: 0)
    /// In the order of their first statement.
    var ranges: [Range] = []

    init(identity: Document, key: [UInt8]) {
        self.identity = identity
        self.key = key
    }

    /// What `statement` of `number` answered, when it was executed; nil when it is still to do.
    public func outcome(of statement: Int32, transactionNumber number: Int64) -> StatementOutcome? {
        guard number == transactionNumber, let index = indexOfRange(startingAtOrBefore: statement) else { return nil }
        return statement <= ranges[index].last ? ranges[index].outcome : nil
    }

    private func indexOfRange(startingAtOrBefore statement: Int32) -> Int? {
        // The newest range is nearly always the one asked for.
        if let last = ranges.last, last.first <= statement { return ranges.count - 1 }
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].first <= statement { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? low - 1 : nil
    }

    /// Remembers a statement. A newer transaction number forgets the older one's statements.
    func remember(_ statement: Int32, _ outcome: StatementOutcome, transactionNumber number: Int64) {
        if number > transactionNumber {
            transactionNumber = number
            ranges.removeAll(keepingCapacity: true)
        }
        guard let index = indexOfRange(startingAtOrBefore: statement) else {
            ranges.insert(Range(first: statement, last: statement, outcome: outcome), at: 0)
            return
        }
        if statement <= ranges[index].last { return }
        if ranges[index].last + 1 == statement, ranges[index].outcome == outcome {
            ranges[index].last = statement
        } else {
            ranges.insert(Range(first: statement, last: statement, outcome: outcome), at: index + 1)
        }
    }

    /// Forgets a statement whose step was undone before it took effect.
    func restore(_ saved: Saved) {
        transactionNumber = saved.transactionNumber
        lastWrite = saved.lastWrite
        lastWall = saved.lastWall
        ranges = saved.ranges
    }

    struct Saved {
        let transactionNumber: Int64
        let lastWrite: OpTime
        let lastWall: WallTime
        let ranges: [Range]
    }
    var saved: Saved {
        Saved(transactionNumber: transactionNumber, lastWrite: lastWrite, lastWall: lastWall, ranges: ranges)
    }
}

// MARK: The stored form

extension SessionRecord {
    /// Writes the record as it is stored: `{lsid, txnNumber, lastWriteOpTime, lastWriteDate, statements: [...]}`.
    func write(to buffer: ByteBuffer) {
        let writer = DocumentWriter(startingIn: buffer)
        identity.withView { writer.append("_id", $0) }
        writer.append("txnNumber", int64: transactionNumber)
        writer.append("lastWriteOpTime", lastWrite)
        writer.append("lastWriteDate", dateTime: lastWall.milliseconds)
        writer.array("statements") { array in
            for range in ranges {
                array.document { element in
                    element.append("first", int32: range.first)
                    element.append("last", int32: range.last)
                    element.append("kind", int32: range.outcome.kind.rawValue)
                    element.append("n", int32: range.outcome.n)
                    element.append("nModified", int32: range.outcome.nModified)
                    if let upserted = range.outcome.upserted { element.append("upserted", upserted) }
                    if let image = range.outcome.image { element.append("image", image) }
                }
            }
        }
        writer.finish()
    }

    /// Reads the stored form.
    convenience init(stored view: DocumentView, key: [UInt8]) throws(InvariantViolation) {
        guard let identity = view["_id"]?.asDocument, let number = view["txnNumber"]?.asInt64,
            let lastWrite = view["lastWriteOpTime"]?.asDocument.flatMap({ OpTime($0) }),
            let lastWall = view["lastWriteDate"]?.asDateTime, let statements = view["statements"]?.asArray
        else { throw InvariantViolation("a stored session record is not readable") }
        self.init(identity: Document(copying: identity), key: key)
        transactionNumber = number
        self.lastWrite = lastWrite
        self.lastWall = WallTime(milliseconds: lastWall)
        for element in statements {
            guard let range = element.value.asDocument, let first = range["first"]?.asInt32,
                let last = range["last"]?.asInt32, let kindValue = range["kind"]?.asInt32,
                let kind = StatementOutcome.Kind(rawValue: kindValue), let n = range["n"]?.asInt32,
                let nModified = range["nModified"]?.asInt32
            else { throw InvariantViolation("a stored session record is not readable") }
            let outcome = StatementOutcome(
                kind: kind, n: n, nModified: nModified, upserted: range["upserted"]?.asDocument?.document,
                image: range["image"]?.asDocument?.document)
            ranges.append(Range(first: first, last: last, outcome: outcome))
        }
    }
}
