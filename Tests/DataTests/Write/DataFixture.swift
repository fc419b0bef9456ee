import BSON
import Core
import Data
import MemoryStorage
import Query
import Testing

/// A runtime for tests of synchronous code: a clock that moves by hand, seeded numbers, nothing else.
final class StillRuntime: NodeRuntime {
    private var time = Instant.zero
    var now: Instant {
        get {
            time = time + .nanoseconds(nanosecondsPerReading)
            return time
        }
        set { time = newValue }
    }
    var wallClock = WallTime(milliseconds: 1_700_000_000_000)
    var numbers: SplitMix64
    /// How far the clock moves with each reading: makes every slice end.
    var nanosecondsPerReading: Int64 = 0

    init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    func randomNumber() -> UInt64 { numbers.next() }
    func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken { TimerToken(id: 0) }
    func cancel(_ timer: TimerToken) {}
    func enqueue(_ body: @escaping () -> Void) { body() }
    func spawn(_ name: StaticString, _ body: @escaping () async -> Void) -> SpawnedTask { SpawnedTask(Task {}) }
    func offload(_ work: @escaping @Sendable () -> Void, completion: @escaping () -> Void) {
        work()
        completion()
    }
    var mailbox: any LoopMailbox { Mailbox() }
    func preconditionOnLoop() {}
    var log: any LogSink = SilentLog()

    private final class Mailbox: LoopMailbox {
        func enqueue(_ body: @escaping @Sendable () -> Void) { body() }
    }
}

/// A member without a network: a data store over memory.
final class Fixture {
    let runtime: StillRuntime
    let engine: any StorageEngine
    let versions: VersionStore
    let store: DataStore
    let isReplicated: Bool
    var term: Int64 = 1

    init(
        isReplicated: Bool = true, keepsHistory: Bool? = nil, seed: UInt64 = 1,
        engine: any StorageEngine = MemoryStorage(), historyWindow: Duration = .zero, undoBytesMax: Int? = nil,
        loads: Bool = true
    ) async throws {
        runtime = StillRuntime(seed: seed)
        self.engine = engine
        versions = VersionStore(
            engine: engine, keepsHistory: keepsHistory ?? isReplicated, historyWindow: historyWindow)
        try await versions.open()
        self.isReplicated = isReplicated
        store = DataStore(
            runtime: runtime, versions: versions, oplog: Oplog(versions, bytesMax: 64 << 20), undoBytesMax: undoBytesMax
        )
        if loads { try store.load() }
    }

    /// The next life of a member whose engine keeps its tables, and its oplog with them; nothing is loaded yet.
    init(restarting old: Fixture) async throws {
        runtime = old.runtime
        engine = old.engine
        isReplicated = old.isReplicated
        term = old.term
        await old.versions.close()
        versions = VersionStore(engine: engine, keepsHistory: true)
        try await versions.open()
        store = DataStore(runtime: runtime, versions: versions, oplog: Oplog(versions, bytesMax: 64 << 20))
    }

    /// A member that is started on what an engine's disk holds.
    convenience init(reopening disk: LastingStorage) async throws {
        try await self.init(engine: disk, loads: false)
        if try await store.resumeRollback() == nil { try store.load() }
    }

    var context: WriteContext {
        WriteContext(term: term, wall: runtime.wallClock, isReplicated: isReplicated)
    }

    /// A context for a retryable write of the session with that first byte.
    func context(session: UInt8, number: Int64) throws -> WriteContext {
        var context = self.context
        let lsid = Fixture.lsid(session)
        context.session = try lsid.withView { try store.sessions.record($0) }
        context.transactionNumber = number
        return context
    }

    static func lsid(_ session: UInt8) -> Document {
        ["id": .binary(subtype: 4, [session] + [UInt8](repeating: 7, count: 15))]
    }

    static let deadline = Instant.distantFuture
    static let orders = Namespace("shop", "orders")

    // MARK: Commands, run to their end

    @discardableResult
    func insert(
        _ documents: Document..., into namespace: Namespace = orders, ordered: Bool = true,
        with context: WriteContext? = nil
    )
        throws -> InsertOperation
    {
        let array = Document(array: documents.map { .document($0) })
        return try array.withView { view in
            var operation = InsertOperation(into: .namespace(namespace), DocumentRun(array: view), isOrdered: ordered)
            while case .yield = try operation.run(store, context ?? self.context, until: Fixture.deadline) {}
            return operation
        }
    }

    /// Inserts one document and throws its error.
    func insertOne(_ document: Document, into namespace: Namespace = orders) throws {
        if let error = try insert(document, into: namespace).errors.first { throw error.error }
    }

    @discardableResult
    func update(_ statement: Document, in namespace: Namespace = orders, with context: WriteContext? = nil) throws
        -> UpdateOperation
    {
        let compiled = try statement.withView { try UpdateStatement($0, context: self.context.query) }
        let operation = UpdateOperation(store, namespace, compiled)
        while case .yield = try operation.run(context ?? self.context, until: Fixture.deadline) {}
        return operation
    }

    @discardableResult
    func delete(
        _ filter: Document, limit: Int32 = 0, in namespace: Namespace = orders, with context: WriteContext? = nil
    )
        throws -> Int
    {
        let statement: Document = ["q": .document(filter), "limit": .int32(limit)]
        let operation = try statement.withView {
            try DeleteOperation(store, namespace, $0, context: self.context.query)
        }
        while case .yield = try operation.run(context ?? self.context, until: Fixture.deadline) {}
        return operation.n
    }

    func find(_ command: Document = [:], in namespace: Namespace = orders, at point: ReadPoint = .latest) throws
        -> [Document]
    {
        let request = try command.withView { try FindRequest(namespace, $0, context: self.context.query) }
        let cursor = try QueryCursor(store, request, at: point)
        defer { cursor.close() }
        return try drain(cursor)
    }

    func drain(_ cursor: QueryCursor, batch: Int = 3) throws -> [Document] {
        var found: [Document] = []
        while true {
            var progress = CursorProgress.yield
            let buffer = ByteBuffer()
            let writer = DocumentWriter(startingIn: buffer)
            var array = writer.beginArray("batch")
            while case .yield = progress {
                progress = try cursor.next(
                    into: &array, maxDocuments: batch - array.count, maxBytes: 1 << 20, deadline: runtime.now)
            }
            array.finish()
            writer.finish()
            let reply = Document(trusted: buffer.toArray())
            found += reply["batch"]?.asArray?.compactMap { $0.asDocument } ?? []
            switch progress {
            case .batchFull: continue
            default: return found
            }
        }
    }

    /// All results of a pipeline, with slices that are over at once and batches of two.
    func aggregate(_ stages: [Value], at point: ReadPoint = .latest) throws -> [Value] {
        let cursor = try Document(array: stages).withView {
            try AggregateCursor(store, Fixture.orders, pipeline: $0, context: context.query, at: point)
        }
        defer { cursor.close() }
        let writer = DocumentWriter(startingIn: ByteBuffer())
        var array = writer.beginArray("b")
        while true {
            let progress = try cursor.next(into: &array, maxDocuments: 2, maxBytes: 1 << 20, deadline: runtime.now)
            if case .exhausted = progress { break }
        }
        array.finish()
        writer.finish()
        return Document(trusted: writer.buffer.toArray())["b"]?.asArray ?? []
    }

    func createIndex(_ specification: Document, on namespace: Namespace = orders) throws {
        let outcome = try specification.withView { try store.createIndexes(namespace, [$0], context) }
        guard let build = outcome.build else { return }
        do {
            while case .yield = try build.step(until: runtime.now) {}
            try store.commitIndexBuild(build, context)
        } catch let error as ServerError {
            try store.abortIndexBuild(build, error.message, context)
            throw error
        }
    }

    /// Writes to the engine behind the back of everything above it.
    func write(_ body: (WriteBatch) -> Void) throws {
        let batch = WriteBatch()
        body(batch)
        try engine.apply(batch)
    }

    func createCollection(_ namespace: Namespace = orders, _ options: Document = [:]) throws {
        try options.withView { _ = try store.createCollection(namespace, $0, context) }
    }

    func collection(_ namespace: Namespace = orders) throws -> Collection {
        guard let collection = store.catalog.find(namespace) else {
            throw ServerError(.namespaceNotFound, "no \(namespace)")
        }
        return collection
    }

    /// All entries of the oplog.
    func entries() throws -> [Document] {
        var all: [Document] = []
        try store.oplog.read(
            from: .zero, inclusive: true, direction: .forward, limitEntries: .max, limitBytes: .max
        ) { bytes in
            all.append(Document(trusted: [UInt8](bytes)))
            return true
        }
        return all
    }

    /// Applies entries, finishing index builds where application waits for them.
    func apply(_ entries: some Sequence<Document>, _ mode: ApplyMode = .steady) throws {
        for entry in entries {
            try entry.withView { view in
                while case .waitsForIndexBuild(let build) = try store.apply(view, mode) {
                    while case .yield = try build.step(until: runtime.now, .committing) {}
                }
            }
        }
    }
}
