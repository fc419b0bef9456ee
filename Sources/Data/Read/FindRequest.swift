public import BSON
public import Core
public import Query

/// A `find` as it was asked for, compiled. Owns what it needs of the command.
public struct FindRequest {
    public let namespace: Namespace
    let budget: EvaluationBudget?
    let filter: Filter
    let filterDocument: Document
    let sort: SortPattern?
    let projection: Projection?
    let hint: QueryHint?
    /// `min` and `max`: where in the hinted index to begin and to end.
    let limits: KeyLimits?
    /// Shows the keys of the index that is used instead of the documents.
    let returnsKey: Bool
    let showsRecordID: Bool
    /// Whether a sort may spill.
    let allowsDiskUse: Bool
    public let skip: Int64
    /// 0 for no limit.
    public let limit: Int64
    /// Documents of the first batch; nil when the client names no number.
    public let batchSize: Int?
    public let isSingleBatch: Bool
    public let isTailable: Bool
    public let isAwaitData: Bool
    /// The deadline the client sets for the whole operation, in milliseconds; 0 for none.
    public let maxTimeMillis: Int64

    /// Reads a `find` command. Fields that every command may carry are skipped; options that are not supported are
    /// refused.
    public init(_ namespace: Namespace, _ command: DocumentView, context: QueryContext) throws {
        var fields = FindFields()
        for element in command { try fields.read(element) }
        self.namespace = namespace
        budget = context.budget?.value
        filterDocument = fields.filter?.document ?? Document()
        filter = try Filter(fields.filter ?? emptyDocument, context: context)
        sort = try fields.sort.map { try SortPattern($0) }
        projection = try fields.projection.flatMap { $0.isEmpty ? nil : try Projection($0, context: context) }
        hint = try fields.hint.flatMap { try QueryHint($0) }
        skip = fields.skip
        limits = try KeyLimits(min: fields.least, max: fields.greatest)
        returnsKey = fields.returnsKey
        showsRecordID = fields.showsRecordID
        allowsDiskUse = fields.allowsDiskUse
        limit = fields.limit
        batchSize = fields.batchSize
        isSingleBatch = fields.isSingleBatch
        isTailable = fields.isTailable
        isAwaitData = fields.isAwaitData
        maxTimeMillis = fields.maxTimeMillis
        if isAwaitData, !isTailable {
            throw ServerError(.failedToParse, "Cannot set 'awaitData' without also setting 'tailable'")
        }
        if isTailable, let sort, sort.natural != .forward {
            throw ServerError(.badValue, "cannot use tailable option with a sort other than {$natural: 1}")
        }
        if isTailable, let hint, !hint.isNaturalForward {
            throw ServerError(.badValue, "cannot use tailable option with a hint other than {$natural: 1}")
        }
        if isTailable, isSingleBatch {
            throw ServerError(.badValue, "cannot use tailable option with the 'singleBatch' option")
        }
    }

    /// For callers inside the server.
    public init(_ namespace: Namespace, filter: DocumentView, sort: DocumentView? = nil, limit: Int64 = 0) throws {
        try self.init(
            namespace,
            Document { writer in
                writer.append("find", string: namespace.collection)
                writer.append("filter", filter)
                if let sort { writer.append("sort", sort) }
                writer.append("limit", int64: limit)
            })
    }

    private init(_ namespace: Namespace, _ command: Document) throws {
        self = try command.withView { try FindRequest(namespace, $0, context: QueryContext()) }
    }
}

/// The fields of a `find` command in place.
private struct FindFields {
    var filter: DocumentView?
    var sort: DocumentView?
    var projection: DocumentView?
    var hint: ValueView?
    var skip: Int64 = 0
    var limit: Int64 = 0
    var batchSize: Int?
    var isSingleBatch = false
    var isTailable = false
    var isAwaitData = false
    var maxTimeMillis: Int64 = 0
    var least: DocumentView?
    var greatest: DocumentView?
    var returnsKey = false
    var showsRecordID = false
    var allowsDiskUse = true

    mutating func read(_ element: DocumentView.Element) throws(ServerError) {
        let value = element.value
        switch element.key {
        case "filter": filter = try CommandFields.document(element)
        case "sort": sort = try CommandFields.document(element)
        case "projection": projection = try CommandFields.document(element)
        case "hint": hint = value
        case "skip": skip = try CommandFields.nonNegative(element)
        case "limit": limit = try CommandFields.nonNegative(element)
        case "batchSize": batchSize = Int(clamping: try CommandFields.nonNegative(element))
        case "singleBatch": isSingleBatch = value.isTruthy
        case "tailable": isTailable = value.isTruthy
        case "awaitData": isAwaitData = value.isTruthy
        case "maxTimeMS": maxTimeMillis = try CommandFields.nonNegative(element)
        case "collation": try CollectionOptions.checkCollation(value)
        case "min": least = try CommandFields.document(element)
        case "max": greatest = try CommandFields.document(element)
        case "returnKey": returnsKey = value.isTruthy
        case "showRecordId": showsRecordID = value.isTruthy
        case "allowDiskUse": allowsDiskUse = value.isTruthy
        default: break
        }
    }
}

/// Reads fields of commands, with MongoDB's codes for wrong ones.
public enum CommandFields {
    static func document(_ element: DocumentView.Element) throws(ServerError) -> DocumentView? {
        if element.value.type == .null { return nil }
        guard let document = element.value.asDocument else {
            throw ServerError(
                .typeMismatch,
                "BSON field '\(element.key.string)' is the wrong type '\(element.value.type)', expected type 'object'")
        }
        return document
    }

    static func integer(_ element: DocumentView.Element) throws(ServerError) -> Int64 {
        if let value = element.value.coercedInteger { return value }
        if element.value.type == .null { return 0 }
        throw ServerError(
            .typeMismatch,
            "BSON field '\(element.key.string)' is the wrong type '\(element.value.type)', expected types "
                + "'[long, int, decimal, double]'")
    }

    static func nonNegative(_ element: DocumentView.Element) throws(ServerError) -> Int64 {
        let value = try integer(element)
        guard value >= 0 else {
            throw negative(element.key.string, value)
        }
        return value
    }

    /// The error for a number that may not be negative.
    public static func negative(_ name: String, _ value: Int64) -> ServerError {
        ServerError(
            .badValue, "BSON field '\(name)' value must be >= 0, actual value '\(value)'")
    }
}
