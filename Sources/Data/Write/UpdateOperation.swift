public import BSON
public import Core
import Query

/// One statement of an `update` command on its way: one step a document, resumable after each of them.
public final class UpdateOperation {
    /// Documents matched (an upsert counts as one), and documents changed.
    public private(set) var n = 0
    public private(set) var nModified = 0
    /// The `_id` that an upsert inserted.
    public private(set) var upsertedID: Value?

    private let store: DataStore
    private let namespace: Namespace
    private let statement: UpdateStatement
    /// The statement's number for retries.
    private let id: Int32
    private var selection: RecordSelection?
    /// The search for the first in an order, while it runs.
    private var search: FirstInOrder?
    /// The record whose evaluation was interrupted.
    private var interrupted: RecordKey?
    private let validation: Validation
    private var isDone = false

    public init(_ store: DataStore, _ namespace: Namespace, _ statement: UpdateStatement, id: Int32 = 0) {
        self.store = store
        self.namespace = namespace
        self.statement = statement
        validation = Validation(statement.budget ?? EvaluationBudget(store.runtime))
        self.id = id
    }

    /// Goes on until done or the slice is used up. What was written before an error stays written, and is in `n`.
    public func run(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        do { return try slice(context, until: deadline) } catch let missing as StorageNotResident {
            return store.yield(at: missing)
        } catch let closed as RangeIsClosed {
            return store.yield(at: closed)
        }
    }

    private func slice(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        if isDone { return .done }
        if try answerFromRecord(context) { return .done }
        try namespace.checkUserWritable()
        // A slice of a statement that names its `_id` has no end; this may take long all the same.
        let end = statement.program.mayTakeLong ? min(deadline, store.runtime.loopSliceEnd) : deadline
        statement.budget?.beginSlice(until: end)
        var context = context
        context.validation = validation
        context.isMulti = statement.isMulti
        var clock = SliceClock(deadline: deadline)
        guard let collection = store.catalog.find(namespace) else {
            try store.checkNoView(namespace)
            return try finish(context)
        }
        if !statement.isMulti, statement.sort == nil, statement.hint == nil,
            let done = try runByID(collection, context)
        {
            return done
        }
        while true {
            switch try nextRecord(&clock) {
            case .yield: return .yield
            case .ended: return try finish(context)
            case .record(let record):
                // Until it is through with it.
                interrupted = record
                guard let isWritten = try apply(record, collection, context) else { return .yield }
                interrupted = nil
                if isWritten, !statement.isMulti {
                    isDone = true
                    return .done
                }
            }
            if clock.isOver(store.runtime) || store.endsSlice(context, deadline) { return .yield }
        }
    }

    /// A statement that was executed before answers from its session's record.
    private func answerFromRecord(_ context: WriteContext) throws -> Bool {
        guard let session = context.session else { return false }
        guard
            case .alreadyExecuted(let outcome) = try store.sessions.checkStatement(
                session, transactionNumber: context.transactionNumber, statement: id)
        else { return false }
        n = Int(outcome.n)
        nModified = Int(outcome.nModified)
        upsertedID = outcome.upserted?["_id"]
        isDone = true
        return true
    }

    /// `{_id: value}` needs no plan.
    private func runByID(_ collection: Collection, _ context: WriteContext) throws -> WriteProgress? {
        try statement.query.withView { query in
            guard let idValue = query.onlyIDEquality else { return nil }
            let found = try store.record(withID: idValue, in: collection)
            store.noteIDLookup(isFound: found != nil)
            guard let (record, old) = found, try store.shows(old, of: collection) else {
                return try finish(context)
            }
            guard try write(record, old, position: nil, collection, context) else { return .yield }
            isDone = true
            return .done
        }
    }

    private func nextRecord(_ clock: inout SliceClock) throws -> RecordSelection.Next {
        if let record = interrupted {
            interrupted = nil
            return .record(record)
        }
        if selection == nil, search == nil {
            let scan = try MatchedScan(
                store, namespace, statement.filter, sort: statement.sort, hint: statement.hint)
            if let sort = statement.sort, !scan.providesSort {
                search = FirstInOrder(scan, sort)
            } else {
                selection = RecordSelection(scan)
            }
        }
        if let search {
            let next = try search.next(&clock)
            // One that has changed meanwhile is searched for anew.
            if case .yield = next {} else { self.search = nil }
            return next
        }
        guard var running = selection else { return .ended }
        defer { selection = running }
        return try running.next(&clock)
    }

    /// Updates a record that still matches; false when it is gone or matches no more, nil when the slice was used up.
    private func apply(_ record: RecordKey, _ collection: Collection, _ context: WriteContext) throws -> Bool? {
        guard let old = try store.document(record, in: collection) else { return false }
        var position: Int?
        guard let matches = try statement.filter.matchesInterruptibly(old, position: &position) else { return nil }
        guard matches else { return false }
        return try write(record, old, position: position, collection, context) ? true : nil
    }

    /// Updates a record; false, with nothing written, when the slice was used up first.
    private func write(
        _ record: RecordKey, _ old: DocumentView, position: Int?, _ collection: Collection, _ context: WriteContext
    ) throws -> Bool {
        let result = try store.applyUpdate(
            statement.program, to: record, old, position: position, in: collection, context,
            statement.isMulti ? nil : Statement(context, id: id))
        guard let result else { return false }
        n += 1
        if case .modified = result { nModified += 1 }
        return true
    }

    /// Nothing more matches: an upsert that met nothing inserts.
    private func finish(_ context: WriteContext) throws -> WriteProgress {
        if n == 0, statement.isUpsert {
            guard let made = try store.applyUpsert(statement, namespace, context, id: id) else { return .yield }
            upsertedID = made
            n = 1
        }
        isDone = true
        return .done
    }
}
