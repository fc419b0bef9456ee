public import BSON
import Core
import Query

/// What one operation has made the data layer do: its share of the work counters, and the plans of its queries. For the
/// profiler; an operation that nobody observes pays for one check a plan.
public final class WorkObservation {
    public private(set) var work = WorkCounters()
    /// The plans as `planSummary` shows them, each once.
    public private(set) var plans: [String] = []
    fileprivate var begun = WorkCounters()

    public init() {}

    /// Adds a plan, up to a number of them.
    public func note(_ plan: String) {
        if plans.count < Limits.profiledPlansMax, !plans.contains(plan) { plans.append(plan) }
    }

    /// Forgets what was gathered: the next statement of the operation begins.
    public func reset() {
        work = WorkCounters()
        plans = []
    }

    fileprivate func add(upTo now: WorkCounters) {
        work.inserted &+= now.inserted &- begun.inserted
        work.updated &+= now.updated &- begun.updated
        work.deleted &+= now.deleted &- begun.deleted
        work.returned &+= now.returned &- begun.returned
        work.keysExamined &+= now.keysExamined &- begun.keysExamined
        work.documentsExamined &+= now.documentsExamined &- begun.documentsExamined
        work.sorted &+= now.sorted &- begun.sorted
    }
}

extension DataStore {
    /// What is done from here on is this operation's; nil: nobody's. What came before goes to the one before.
    public func observe(_ next: WorkObservation?) {
        observation?.add(upTo: work)
        observation = next
        next?.begun = work
    }

    /// A look at one document by its `_id`, without a plan.
    @inline(__always)
    public func noteIDLookup(isFound: Bool) {
        if isFound {
            work.keysExamined &+= 1
            work.documentsExamined &+= 1
        }
        if let observation { observation.note("IDHACK") }
    }

    /// Inserts an entry of the profiler, into a collection that is made where it is missing. Never logged.
    public func insertProfile(_ entry: DocumentView, of database: String) throws {
        let context = WriteContext(term: -1, wall: runtime.wallClock, isReplicated: false)
        try insertOne(entry, into: try profileCollection(of: database), context)
    }

    /// `system.profile` of a database; created, capped, where it is missing.
    @discardableResult
    public func profileCollection(of database: String) throws -> Collection {
        let namespace = Namespace.profile(of: database)
        if let existing = catalog.find(namespace) { return existing }
        let context = WriteContext(term: -1, wall: runtime.wallClock, isReplicated: false)
        let command: Document = [
            "create": .string(namespace.collection), "capped": true, "size": .int64(Int64(Limits.profileBytesDefault)),
        ]
        return try command.withView { try createCollection(namespace, $0, context) }
    }
}
