import BSON
public import Core
public import Query

/// The documents of an `insert` command on their way: one step each, resumable after each of them.
public struct InsertOperation {
    /// Documents inserted, in this or an earlier try of the command.
    public private(set) var n = 0
    /// The statements that failed. An ordered command stops at the first.
    public private(set) var errors: [StatementError] = []
    private var errorBytes = 0

    /// Where documents are inserted.
    public enum Target {
        /// A collection that was just found and that clients may write to. Good until the loop runs on.
        case collection(Collection)
        /// One that is looked for, and made when it is not there.
        case namespace(Namespace)
    }

    private var target: Target
    private var documents: DocumentRun
    private let isOrdered: Bool
    private let firstStatement: Int32
    /// The numbers of the statements, where they do not count up from the first.
    private let statementIDs: [Int32]?
    private var index = 0
    /// A document that a step could not insert yet.
    private var pending: DocumentView?
    /// The same with the `_id` that it was given: the next try is not to be one for another document.
    private var identified: Document?
    /// The collection has to make room for what was inserted.
    private var mustTrim = false
    private var isDone = false
    private let validation: Validation?

    /// The ids of statements that an earlier try has executed.
    public private(set) var retried: [Int32] = []

    /// `documents` stay where they are until the operation is done. Validation takes slices where there is a `budget`.
    public init(
        into target: Target, _ documents: DocumentRun, isOrdered: Bool = true, firstStatement: Int32 = 0,
        statementIDs: [Int32]? = nil, budget: EvaluationBudget? = nil
    ) {
        self.statementIDs = statementIDs
        validation = budget.map { Validation($0) }
        self.target = target
        self.documents = documents
        self.isOrdered = isOrdered
        self.firstStatement = firstStatement
    }

    /// Goes on until done or the slice is used up. Errors of single documents are in `errors`; what is thrown concerns
    /// the whole command.
    public mutating func run(_ store: DataStore, _ context: WriteContext, until deadline: Instant) throws
        -> WriteProgress
    {
        do { return try slice(store, context, until: deadline) } catch let missing as StorageNotResident {
            forgetCollection()
            if identified == nil { identified = pending.flatMap { store.identified($0) } }
            return store.yield(at: missing)
        } catch let closed as RangeIsClosed {
            forgetCollection()
            if identified == nil { identified = pending.flatMap { store.identified($0) } }
            return store.yield(at: closed)
        }
    }

    private mutating func slice(_ store: DataStore, _ context: WriteContext, until deadline: Instant) throws
        -> WriteProgress
    {
        if case .namespace(let namespace) = target { try namespace.checkUserWritable() }
        validation?.budget.beginSlice(until: deadline)
        if let validation {
            var validated = context
            validated.validation = validation
            return try insert(store, validated, until: deadline)
        }
        return try insert(store, context, until: deadline)
    }

    @inline(__always)
    private mutating func insert(
        _ store: DataStore, _ context: WriteContext, until deadline: Instant
    ) throws -> WriteProgress {
        var clock = SliceClock(deadline: deadline)
        if mustTrim { try trim(store, context) }
        while !isDone {
            guard let document = try pending ?? documents.next() else {
                isDone = true
                break
            }
            pending = document
            // What fails here concerns the whole command; what fails in the step, the one document.
            if try !store.wasExecuted(statement, context) {
                let collection = try self.collection(store, context)
                do {
                    if let identified {
                        _ = try identified.withView { try store.insert($0, into: collection, context, statement) }
                    } else {
                        try store.insert(document, into: collection, context, statement)
                    }
                    n += 1
                    mustTrim = collection.options.capped != nil
                } catch let error as ServerError where error.isInterruption {
                    forgetCollection()
                    return .yield
                } catch let error as ServerError where !error.code.concernsCommand {
                    errors.append(index: index, error, countingIn: &errorBytes)
                    isDone = isOrdered
                }
            } else {
                n += 1
                retried.append(statement)
            }
            pending = nil
            if identified != nil { identified = nil }
            index += 1
            if mustTrim { try trim(store, context) }
            if !isDone, clock.isOver(store.runtime) || store.endsSlice(context, deadline) {
                forgetCollection()
                return .yield
            }
        }
        return .done
    }

    @inline(__always)
    private mutating func collection(_ store: DataStore, _ context: WriteContext) throws -> Collection {
        switch target {
        case .collection(let collection): return collection
        case .namespace(let namespace):
            let collection = try store.ensureCollection(namespace, context)
            target = .collection(collection)
            return collection
        }
    }

    /// The loop runs on: whatever is found there then is another's to say.
    private mutating func forgetCollection() {
        if case .collection(let collection) = target { target = .namespace(collection.namespace) }
    }

    private mutating func trim(_ store: DataStore, _ context: WriteContext) throws {
        let namespace =
            switch target {
            case .collection(let collection): collection.namespace
            case .namespace(let namespace): namespace
            }
        if let collection = store.catalog.find(namespace) { try store.trimCapped(collection, context) }
        mustTrim = false
    }

    /// The command's documents are elsewhere now.
    public mutating func move(to documents: DocumentRun) throws(ServerError) {
        self.documents = documents
        for _ in 0..<index { _ = try self.documents.next() }
        if pending != nil { pending = try self.documents.next() }
    }

    private var statement: Int32 {
        if let statementIDs, index < statementIDs.count { return statementIDs[index] }
        return firstStatement &+ Int32(truncatingIfNeeded: index)
    }
}

extension DataStore {
    /// Whether an earlier try of a retryable write has executed the statement.
    @inline(__always)
    public func wasExecuted(_ statement: Int32, _ context: WriteContext) throws -> Bool {
        guard let session = context.session else { return false }
        let verdict = try sessions.checkStatement(
            session, transactionNumber: context.transactionNumber, statement: statement)
        if case .alreadyExecuted = verdict { return true }
        return false
    }
}
