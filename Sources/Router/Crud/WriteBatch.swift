import BSON
import Core
import Frontend
import Sharding
import Wire

/// The statements of a write command of a client, and what has become of them so far: the client's reply is made of it.
final class WriteBatch {
    /// What statements do.
    enum Kind: String {
        case insert, update, delete

        /// The field that holds the statements.
        var field: StaticString {
            switch self {
            case .insert: "documents"
            case .update: "updates"
            case .delete: "deletes"
            }
        }
    }

    let kind: Kind
    let isOrdered: Bool
    /// In place, in the request or in `replaced`.
    let statements: [DocumentView]
    /// Statements that the router has changed: documents that it gave an `_id`.
    var replaced: [Int: Document] = [:]
    /// Statements that have not been carried out, ascending.
    private(set) var pending: [Int]
    var n: Int64 = 0
    var nModified: Int64 = 0
    private var upserted: [(index: Int, id: Value)] = []
    private(set) var errors: [(index: Int, error: Document)] = []
    private var retried: [Int32] = []
    private var concernError: Document?
    private var labels: [String] = []

    init(_ kind: Kind, _ statements: [DocumentView], isOrdered: Bool) {
        self.kind = kind
        self.statements = statements
        self.isOrdered = isOrdered
        pending = Array(statements.indices)
    }

    /// The statements of the client's command.
    /// - Throws: `MissingField`, `TypeMismatch`, `InvalidLength`, as a data node does.
    convenience init(_ kind: Kind, _ context: RouterContext) throws(ServerError) {
        var statements: [DocumentView] = []
        if let sequence = context.request.sequence(kind.field) {
            statements = Array(sequence)
        } else {
            guard let value = context.body[kind.field] else {
                throw ServerError(
                    .missingField, "BSON field '\(kind.rawValue).\(kind.field)' is missing but a required field")
            }
            guard let array = value.asArray else { throw wrongType("\(kind.rawValue).\(kind.field)", value, "array") }
            for element in array {
                guard let statement = element.value.asDocument else {
                    throw wrongType("\(kind.rawValue).\(kind.field).\(element.key.string)", element.value, "object")
                }
                statements.append(statement)
            }
        }
        guard (1...Limits.writeBatchSizeMax).contains(statements.count) else {
            throw ServerError(
                .invalidLength,
                "Write batch sizes must be between 1 and \(Limits.writeBatchSizeMax). "
                    + "Got \(statements.count) operations.")
        }
        self.init(kind, statements, isOrdered: context.body["ordered"]?.isTruthy ?? true)
    }

    /// Calls `body` with a statement as it is sent.
    func withStatement<Answer>(_ index: Int, _ body: (DocumentView) throws(ServerError) -> Answer) throws(ServerError)
        -> Answer
    {
        guard let replaced = replaced[index] else { return try body(statements[index]) }
        return try replaced.withView { view in Result { () throws(ServerError) in try body(view) } }.get()
    }

    /// Whether there is nothing left to do: all statements are through, or an error ends an ordered batch.
    var isOver: Bool { pending.isEmpty || isOrdered && !errors.isEmpty }
    /// Whether something has been done, or has failed.
    var hasBegun: Bool { pending.count < statements.count }

    /// A statement is through.
    func done(_ indexes: some Sequence<Int>) {
        let done = Set(indexes)
        pending.removeAll { done.contains($0) }
    }

    /// A statement has failed.
    func fail(_ index: Int, _ error: ServerError) {
        let entry = Document { writer in
            writer.append("index", int32: Int32(clamping: index))
            writer.append("code", int32: error.code.rawValue)
            if let details = error.details {
                details.withView { for field in $0 { writer.append(field.key, field.value) } }
            }
            writer.append("errmsg", string: error.message)
        }
        errors.append((index, entry))
        done([index])
    }

    // MARK: What a shard has answered

    /// Takes a shard's reply to some statements.
    /// - Parameter indexes: the statements, as the shard was sent them.
    /// - Returns: why statements were not started, for those that are to be routed anew; they stay pending.
    func take(_ reply: Document, for indexes: [Int]) throws(ServerError) -> [StaleConfigInfo] {
        var stale: [StaleConfigInfo] = []
        var ended: Set<Int> = Set(indexes)
        try reply.withView { view in
            Result { () throws(ServerError) in
                n += view["n"]?.asInteger ?? 0
                nModified += view["nModified"]?.asInteger ?? 0
                for element in view["upserted"]?.asArray ?? .empty {
                    guard let entry = element.value.asDocument, let place = WriteBatch.place(entry, indexes),
                        let id = entry["_id"]
                    else { continue }
                    upserted.append((indexes[place], Value(id)))
                }
                for element in view["retriedStmtIds"]?.asArray ?? .empty {
                    if let id = element.value.asInt32 { retried.append(id) }
                }
                if concernError == nil, let error = view["writeConcernError"]?.asDocument {
                    concernError = error.document
                    labels = view["errorLabels"]?.asArray?.compactMap { $0.value.asString } ?? []
                }
                var first: Int?
                for element in view["writeErrors"]?.asArray ?? .empty {
                    guard let entry = element.value.asDocument, let place = WriteBatch.place(entry, indexes) else {
                        continue
                    }
                    let at = indexes[place]
                    first = min(first ?? place, place)
                    guard entry["code"]?.asInteger == Int64(ErrorCode.staleConfig.rawValue) else {
                        errors.append((at, WriteBatch.error(entry, index: at)))
                        continue
                    }
                    ended.remove(at)
                    if let info = entry["errInfo"]?.asDocument { stale.append(try StaleConfigInfo(info)) }
                }
                // Behind an error, the shard has not looked at the rest of an ordered batch.
                if isOrdered, let first { ended.subtract(indexes[(first + 1)...]) }
            }
        }.get()
        done(ended)
        return stale
    }

    /// Which of the statements that a shard was sent an entry is about.
    private static func place(_ entry: DocumentView, _ indexes: [Int]) -> Int? {
        entry["index"]?.asInteger.flatMap { Int(exactly: $0) }.flatMap { indexes.indices.contains($0) ? $0 : nil }
    }

    private static func error(_ entry: DocumentView, index: Int) -> Document {
        Document { writer in
            writer.append("index", int32: Int32(clamping: index))
            for field in entry where !(field.key == "index") { writer.append(field.key, field.value) }
        }
    }

    /// Takes the result of a statement that several shards have carried out, each its part.
    func take(n: Int64, nModified: Int64, upserted: Value?, for index: Int) {
        self.n += n
        self.nModified += nModified
        if let upserted { self.upserted.append((index, upserted)) }
        done([index])
    }

    /// The `_id` of what an upsert has inserted.
    func upsertedID(of index: Int) -> Value? { upserted.first { $0.index == index }?.id }

    // MARK: The reply

    /// Writes the client's reply.
    func write(to writer: DocumentWriter) {
        writer.append("n", int32: Int32(clamping: n))
        if kind == .update { writer.append("nModified", int32: Int32(clamping: nModified)) }
        if !upserted.isEmpty {
            writer.array("upserted") { array in
                for entry in upserted.sorted(by: { $0.index < $1.index }) {
                    array.document {
                        $0.append("index", int32: Int32(clamping: entry.index))
                        $0.append("_id" as String, entry.id)
                    }
                }
            }
        }
        if !retried.isEmpty { writer.array("retriedStmtIds") { for id in retried.sorted() { $0.append(int32: id) } } }
        if !errors.isEmpty {
            writer.array("writeErrors") { array in
                for entry in errors.sorted(by: { $0.index < $1.index }) { array.append(entry.error) }
            }
        }
        if let concernError {
            writer.append("writeConcernError", concernError)
            if !labels.isEmpty { writer.array("errorLabels") { for label in labels { $0.append(string: label) } } }
        }
    }
}
