public import BSON
public import Core
public import Query

/// One statement of a `delete` command on its way: `{q, limit, hint, collation}`, `limit` 0 for all and 1 for one.
public final class DeleteOperation {
    /// Documents deleted.
    public private(set) var n = 0

    private let store: DataStore
    private let namespace: Namespace
    private let query: Document
    private let context: QueryContext
    private let isMulti: Bool
    private let hint: QueryHint?
    /// The statement's number for retries.
    private let id: Int32
    private var filter: Filter?
    private var selection: RecordSelection?
    /// The record whose evaluation was interrupted.
    private var interrupted: RecordKey?
    private var isDone = false

    /// The fields of a statement; commands check them before any statement is carried out.
    public static let fields = FieldTable([
        Field("q", .object, [.required], "which documents"),
        Field("limit", .number, [.required], "1 for one, 0 for all that match"),
        Field("hint", [.string, .object], "the index to use, by name or key pattern"),
        CollectionOptions.collationField,
    ])

    /// Reads a statement. `context` holds the command's `let` variables.
    public init(
        _ store: DataStore, _ namespace: Namespace, _ statement: DocumentView, context: QueryContext, id: Int32 = 0
    ) throws {
        var query: DocumentView?
        var limit: Int64?
        var hint: QueryHint?
        for element in statement where !element.value.isNullish {
            switch element.key {
            case "q": query = try CommandFields.document(element)
            case "limit": limit = try CommandFields.integer(element)
            case "hint": hint = try QueryHint(element.value)
            default: break
            }
        }
        guard let query else { throw CommandFields.missing("delete.deletes.q") }
        guard let limit else { throw CommandFields.missing("delete.deletes.limit") }
        guard limit == 0 || limit == 1 else {
            throw ServerError(.failedToParse, "The limit field in delete objects must be 0 or 1. Got \(limit)")
        }
        self.store = store
        self.namespace = namespace
        self.query = query.document
        self.context = context
        isMulti = limit == 0
        self.hint = hint
        self.id = id
        // A filter that is not valid fails before anything is looked at.
        if query.onlyIDEquality == nil { filter = try Filter(query, context: context) }
    }

    /// Goes on until done or the slice is used up. What was deleted before an error stays deleted, and is in `n`.
    public func run(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        do { return try slice(context, until: deadline) } catch let missing as StorageNotResident {
            return store.yield(at: missing)
        } catch let closed as RangeIsClosed {
            return store.yield(at: closed)
        }
    }

    private func slice(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        if isDone { return .done }
        if let session = context.session,
            case .alreadyExecuted(let outcome) = try store.sessions.checkStatement(
                session, transactionNumber: context.transactionNumber, statement: id)
        {
            n = Int(outcome.n)
            isDone = true
            return .done
        }
        try namespace.checkUserWritable()
        guard let collection = store.catalog.find(namespace) else {
            try store.checkNoView(namespace)
            isDone = true
            return .done
        }
        if hint == nil, try deleteByID(collection, context) { return .done }
        self.context.budget?.value.beginSlice(until: deadline)
        var clock = SliceClock(deadline: deadline)
        if selection == nil {
            let filter = try self.filter ?? query.withView { try Filter($0, context: self.context) }
            self.filter = filter
            selection = RecordSelection(try MatchedScan(store, namespace, filter, hint: hint))
        }
        return try deleteSelected(collection, context, deadline, &clock)
    }

    /// `{_id: value}` needs no plan.
    private func deleteByID(_ collection: Collection, _ context: WriteContext) throws -> Bool {
        try query.withView { query in
            guard let idValue = query.onlyIDEquality else { return false }
            let found = try store.record(withID: idValue, in: collection)
            store.noteIDLookup(isFound: found != nil)
            if let (record, old) = found, try store.shows(old, of: collection) {
                try delete(record, old, collection, context)
            }
            isDone = true
            return true
        }
    }

    private func deleteSelected(
        _ collection: Collection, _ context: WriteContext, _ deadline: Instant, _ clock: inout SliceClock
    ) throws -> WriteProgress {
        guard var running = selection, let filter else { return .done }
        defer { selection = running }
        while true {
            let next =
                if let record = interrupted { RecordSelection.Next.record(record) } else {
                    try running.next(&clock)
                }
            switch next {
            case .yield: return .yield
            case .ended:
                isDone = true
                return .done
            case .record(let record):
                // Until it is through with it.
                interrupted = record
                guard let isDeleted = try deleteIfMatching(record, filter, collection, context) else { return .yield }
                interrupted = nil
                guard isDeleted else { continue }
                if !isMulti {
                    isDone = true
                    return .done
                }
            }
            if clock.isOver(store.runtime) || store.endsSlice(context, deadline) { return .yield }
        }
    }

    /// False when it is gone or matches no more; nil when the slice was used up.
    private func deleteIfMatching(
        _ record: RecordKey, _ filter: Filter, _ collection: Collection, _ context: WriteContext
    ) throws -> Bool? {
        guard let old = try store.document(record, in: collection) else { return false }
        guard let matches = try filter.matchesInterruptibly(old) else { return nil }
        if matches { try delete(record, old, collection, context) }
        return matches
    }

    private func delete(
        _ record: RecordKey, _ old: DocumentView, _ collection: Collection, _ context: WriteContext
    ) throws {
        try store.step {
            try store.delete(
                record, old: old, in: collection, $0, context, isMulti ? nil : Statement(context, id: id),
                StatementOutcome(kind: .delete, n: 1))
        }
        n += 1
    }
}
