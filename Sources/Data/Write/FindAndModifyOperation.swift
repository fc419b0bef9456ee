public import BSON
public import Core
public import Query

/// A `findAndModify`: finds one document, changes or removes it, and answers with it as it was or as it is.
public final class FindAndModifyOperation {
    /// The document that the command answers with, projected; nil for null.
    public private(set) var value: Document?
    /// Documents found, or inserted.
    public private(set) var n = 0
    /// Whether an existing document was updated; nil for a removal.
    public private(set) var updatedExisting: Bool?
    public private(set) var upsertedID: Value?

    private let store: DataStore
    private let namespace: Namespace
    private let filter: Filter
    private let sort: SortPattern?
    private let hint: QueryHint?
    private let projection: Projection?
    /// Nil for a removal.
    private let update: UpdateStatement?
    private let wanted: RetryImage
    private let id: Int32
    private let budget: EvaluationBudget?
    private let validation: Validation
    /// The document to answer with; all is written, and its projection may take slices.
    private var image: (document: Document, position: Int?)?
    /// The record whose evaluation was interrupted.
    private var interrupted: RecordKey?
    private var isDone = false
    /// The search, while it runs.
    private var scan: MatchedScan?
    private var search: FirstInOrder?

    /// Reads a command.
    public init(
        _ store: DataStore, _ namespace: Namespace, _ command: DocumentView, context: QueryContext, id: Int32 = 0
    ) throws {
        var query = emptyDocument
        var change: ValueView?
        var filters: [DocumentView] = []
        var isRemoval = false
        var isNew = false
        var isUpsert = false
        var fields: DocumentView?
        var sort: DocumentView?
        var hint: QueryHint?
        for element in command {
            switch element.key {
            case "query": query = try CommandFields.document(element) ?? emptyDocument
            case "update": change = element.value
            case "remove": isRemoval = element.value.isTruthy
            case "new": isNew = element.value.isTruthy
            case "upsert": isUpsert = element.value.isTruthy
            case "fields", "projection": fields = try CommandFields.document(element)
            case "sort": sort = try CommandFields.document(element)
            case "hint": hint = try QueryHint(element.value)
            case "arrayFilters": filters = try UpdateStatement.arrayFilters(element)
            case "collation": try CollectionOptions.checkCollation(element.value)
            default: break
            }
        }
        if isRemoval {
            if change != nil { throw FindAndModifyOperation.refuse("both an update and remove=true") }
            if isUpsert { throw FindAndModifyOperation.refuse("both upsert=true and remove=true") }
            if isNew {
                throw FindAndModifyOperation.refuse(
                    "both new=true and remove=true; 'remove' always returns the deleted document")
            }
        } else if change == nil {
            throw ServerError(.failedToParse, "Either an update or remove=true must be specified")
        }
        self.store = store
        self.namespace = namespace
        self.id = id
        self.hint = hint
        filter = try Filter(query, context: context)
        self.sort = try sort.flatMap { $0.isEmpty ? nil : try SortPattern($0) }
        projection = try fields.flatMap { $0.isEmpty ? nil : try Projection($0, context: context) }
        let filter = self.filter
        update = try change.map {
            UpdateStatement(
                query: query, filter: filter,
                program: try UpdateProgram($0, arrayFilters: filters, context: context), isUpsert: isUpsert,
                budget: context.budget?.value)
        }
        wanted = isNew ? .after : .before
        budget = context.budget?.value
        validation = Validation(budget ?? EvaluationBudget(store.runtime))
    }

    private static func refuse(_ what: String) -> ServerError {
        ServerError(.failedToParse, "Cannot specify \(what)")
    }

    /// Goes on until done or the slice is used up.
    public func run(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        do { return try slice(context, until: deadline) } catch let missing as StorageNotResident {
            return store.yield(at: missing)
        } catch let closed as RangeIsClosed {
            return store.yield(at: closed)
        }
    }

    private func slice(_ context: WriteContext, until deadline: Instant) throws -> WriteProgress {
        if isDone { return .done }
        let mayTakeLong = update?.program.mayTakeLong == true
        budget?.beginSlice(until: mayTakeLong ? min(deadline, store.runtime.loopSliceEnd) : deadline)
        if image != nil { return try answer() }
        if let progress = try answerFromRecord(context) { return progress }
        try namespace.checkUserWritable()
        var context = context
        context.validation = validation
        guard let collection = store.catalog.find(namespace) else {
            try store.checkNoView(namespace)
            return try finish(context)
        }
        var clock = SliceClock(deadline: deadline)
        while true {
            switch try next(&clock) {
            case .yield: return .yield
            case .ended: return try finish(context)
            case .record(let record):
                // Until it is through with it.
                interrupted = record
                guard let isWritten = try write(record, collection, context) else { return .yield }
                interrupted = nil
                if isWritten { return try answer() }
                // It changed between the slices of the search.
                if clock.isOverNow(store.runtime) { return .yield }
            }
        }
    }

    private func next(_ clock: inout SliceClock) throws -> RecordSelection.Next {
        guard let record = interrupted else { return try find(&clock) }
        interrupted = nil
        return .record(record)
    }

    private func find(_ clock: inout SliceClock) throws -> RecordSelection.Next {
        let scan = try self.scan ?? MatchedScan(store, namespace, filter, sort: sort, hint: hint)
        self.scan = scan
        if let sort, !scan.providesSort {
            let search = self.search ?? FirstInOrder(scan, sort)
            self.search = search
            let next = try search.next(&clock)
            if case .record = next {
                self.scan = nil
                self.search = nil
            }
            return next
        }
        var found: RecordKey?
        let end = try scan.run(&clock) { _, record, _ in
            found = record
            return .stop
        }
        if let found { return .record(found) }
        if case .yield = end { return .yield }
        return .ended
    }

    /// Changes a record that still matches; false when it is gone or matches no more, nil when the slice was used up.
    private func write(_ record: RecordKey, _ collection: Collection, _ context: WriteContext) throws -> Bool? {
        guard let old = try store.document(record, in: collection) else { return false }
        var position: Int?
        guard let matches = try filter.matchesInterruptibly(old, position: &position) else { return nil }
        return matches ? try write(record, old, position, collection, context) : false
    }

    private func write(
        _ record: RecordKey, _ old: DocumentView, _ position: Int?, _ collection: Collection, _ context: WriteContext
    ) throws -> Bool? {
        guard let update else {
            let before = old.document
            try store.step {
                try store.delete(
                    record, old: old, in: collection, $0, context, Statement(context, id: id),
                    StatementOutcome(kind: .delete, n: 1, image: before),
                    retryImage: context.session == nil ? nil : .before)
            }
            image = (before, position)
            n = 1
            return true
        }
        let before = old.document
        let result = try store.applyUpdate(
            update.program, to: record, old, position: position, in: collection, context, Statement(context, id: id),
            image: context.session == nil ? nil : wanted)
        guard let result else { return nil }
        n = 1
        updatedExisting = true
        switch (wanted, result) {
        case (.before, _), (_, .unchanged): image = (before, position)
        case (.after, .modified):
            image = (DocumentView(base: UnsafeRawPointer(store.scratch.image.base)).document, position)
        }
        return true
    }

    private func finish(_ context: WriteContext) throws -> WriteProgress {
        if let update {
            updatedExisting = false
            if update.isUpsert {
                let id = try store.applyUpsert(
                    update, namespace, context, id: id, image: context.session == nil ? nil : wanted)
                guard let id else { return .yield }
                upsertedID = id
                n = 1
                if wanted == .after {
                    image = (DocumentView(base: UnsafeRawPointer(store.scratch.image.base)).document, nil)
                }
            }
        }
        return try answer()
    }

    /// Everything is written: projects the document to answer with, if there is one.
    private func answer() throws -> WriteProgress {
        if let (document, position) = image {
            guard let projection else {
                value = document
                isDone = true
                return .done
            }
            let buffer = ByteBuffer(capacity: document.byteCount)
            let isProjected: Void? = try budget.interruptibly { () throws(ServerError) in
                try document.withChecked { (view) throws(ServerError) in
                    try projection.apply(view, position: position, to: buffer)
                }
            }
            guard isProjected != nil else { return .yield }
            value = Document(trusted: buffer.toArray())
        }
        isDone = true
        return .done
    }

    /// A statement that was executed before answers from its session's record.
    private func answerFromRecord(_ context: WriteContext) throws -> WriteProgress? {
        guard let session = context.session else { return nil }
        guard
            case .alreadyExecuted(let outcome) = try store.sessions.checkStatement(
                session, transactionNumber: context.transactionNumber, statement: id)
        else { return nil }
        n = Int(outcome.n)
        upsertedID = outcome.upserted?["_id"]
        updatedExisting = outcome.kind == .delete ? nil : outcome.kind == .update
        if let kept = outcome.image {
            var position: Int?
            let matches = try kept.withChecked { (view) throws(ServerError) in
                try filter.matchesInterruptibly(view, position: &position)
            }
            guard matches != nil else { return .yield }
            image = (kept, position)
        }
        return try answer()
    }

    /// Writes `lastErrorObject` and `value` as the reply has them.
    public func writeReply(to writer: DocumentWriter) {
        writer.document("lastErrorObject") { last in
            last.append("n", int32: Int32(clamping: n))
            if let updatedExisting { last.append("updatedExisting", bool: updatedExisting) }
            if let upsertedID { last.append("upserted" as String, upsertedID) }
        }
        if let value { writer.append("value", value) } else { writer.appendNull("value") }
    }
}
