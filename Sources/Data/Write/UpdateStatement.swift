public import BSON
public import Core
public import Query

/// One statement of an `update` command, compiled: `{q, u, multi, upsert, arrayFilters, hint, collation, c, sort}`, and
/// `upsertSupplied`, with which an upsert inserts the constant `new` as it is (`$merge` sends it).
public final class UpdateStatement {
    let query: Document
    let filter: Filter
    let program: UpdateProgram
    let budget: EvaluationBudget?
    let isMulti: Bool
    let isUpsert: Bool
    /// What an upsert inserts, when that is not for the update to make.
    let supplied: Document?
    let hint: QueryHint?
    let sort: SortPattern?

    /// The fields of a statement; commands check them before any statement is carried out.
    public static let fields = FieldTable([
        Field("q", .object, [.required], "which documents"),
        Field("u", .any, [.required], "modifiers, a replacement or a pipeline"),
        Field("c", .object, "variables for a pipeline"),
        Field("multi", .flag, "all that match, not one"),
        Field("upsert", .flag, "inserts when nothing matches"),
        Field("upsertSupplied", .flag, "inserts the document that `c.new` holds, as $merge does"),
        Field("arrayFilters", .array, "which elements `$[name]` means"),
        Field("hint", [.string, .object], "the index to use, by name or key pattern"),
        Field("sort", .object, "which of several"),
        CollectionOptions.collationField,
    ])

    /// Checks what makes a whole command fail when it is wrong in one of its statements.
    /// - Throws: what is wrong with the fields, 40324 for an unknown stage in a pipeline.
    public static func checkForm(_ statement: DocumentView, at path: @autoclosure () -> String) throws(ServerError) {
        try fields.check(statement, at: path())
        if let pipeline = statement["u"]?.asArray { try UpdateProgram.checkStageNames(pipeline) }
    }

    /// Reads a statement. `context` holds the command's `let` variables.
    public init(_ statement: DocumentView, context: QueryContext) throws {
        var context = context
        var query: DocumentView?
        var update: ValueView?
        var filters: [DocumentView] = []
        var isMulti = false
        var isUpsert = false
        var isSupplied = false
        var hint: QueryHint?
        var sort: SortPattern?
        for element in statement where !element.value.isNullish || element.key == "u" {
            switch element.key {
            case "q": query = try CommandFields.document(element)
            case "u": update = element.value
            case "multi": isMulti = element.value.isTruthy
            case "upsert": isUpsert = element.value.isTruthy
            case "upsertSupplied": isSupplied = element.value.isTruthy
            case "arrayFilters": filters = try UpdateStatement.arrayFilters(element)
            case "hint": hint = try QueryHint(element.value)
            case "sort": sort = try CommandFields.document(element).map { try SortPattern($0) }
            case "c":
                for constant in try CommandFields.document(element) ?? emptyDocument {
                    context.variables[constant.key.string] = Value(constant.value)
                }
            default: break
            }
        }
        guard let query else { throw CommandFields.missing("update.updates.q") }
        guard let update else { throw CommandFields.missing("update.updates.u") }
        program = try UpdateProgram(update, arrayFilters: filters, context: context)
        if isMulti, program.kind == .replacement {
            throw ServerError(.failedToParse, "multi update is not supported for replacement-style update")
        }
        if isMulti, sort != nil { throw ServerError(.failedToParse, "cannot specify sort with multi=true") }
        supplied = isSupplied ? context.variables["new"]??.asDocument : nil
        if isSupplied, supplied == nil || !isUpsert {
            throw ServerError(.failedToParse, "upsertSupplied needs upsert, and the document in c.new")
        }
        filter = try Filter(query, context: context)
        self.query = query.document
        budget = context.budget?.value
        self.isMulti = isMulti
        self.isUpsert = isUpsert
        self.hint = hint
        self.sort = sort
    }

    /// For findAndModify.
    init(
        query: DocumentView, filter: Filter, program: UpdateProgram, isUpsert: Bool, budget: EvaluationBudget?
    ) {
        self.query = query.document
        self.budget = budget
        self.filter = filter
        self.program = program
        isMulti = false
        self.isUpsert = isUpsert
        supplied = nil
        hint = nil
        sort = nil
    }

    /// Appends what an upsert that matched nothing inserts; returns its `_id`.
    func insertion(newID: () -> ObjectID, into buffer: ByteBuffer) throws(ServerError) -> Value {
        guard let supplied else {
            return try program.upsert(from: filter.equalityAssignments, newID: newID, into: buffer)
        }
        let id = supplied["_id"] ?? .objectID(newID())
        let writer = DocumentWriter(startingIn: buffer)
        writer.append("_id" as String, id)
        supplied.withView { for field in $0 where !(field.key == "_id") { writer.append(field.key, field.value) } }
        writer.finish()
        return id
    }

    static func arrayFilters(_ element: DocumentView.Element) throws(ServerError) -> [DocumentView] {
        guard let array = element.value.asArray else {
            throw ServerError(.typeMismatch, "arrayFilters must be an array")
        }
        var filters: [DocumentView] = []
        for filter in array {
            guard let document = filter.value.asDocument else {
                throw ServerError(.typeMismatch, "arrayFilters.\(filter.key.string) must be a document")
            }
            filters.append(document)
        }
        return filters
    }
}

extension CommandFields {
    static func missing(_ path: String) -> ServerError {
        ServerError(.missingField, "BSON field '\(path)' is missing but a required field")
    }
}
