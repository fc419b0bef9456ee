import BSON
import Core
import Data
import Query

/// What a node does for operations over storage that is larger than memory.
extension Fixture {
    /// Runs the slices of an operation, and prefetches between them what they missed.
    func waiting(_ slice: () throws -> WriteProgress) async throws {
        while true {
            var missing: StorageNotResident?
            do { if case .done = try slice() { return } } catch let error as StorageNotResident { missing = error }
            if let found = missing ?? store.takeMissing() { try await store.prefetch(found) }
        }
    }

    /// Inserts one document; returns the errors.
    func insertWaiting(_ document: Document) async throws -> [StatementError] {
        let array = Document(array: [.document(document)])
        var operation: InsertOperation?
        try await array.withBytesWaiting { view in
            var running = InsertOperation(into: .namespace(Fixture.orders), DocumentRun(array: view))
            try await waiting { try running.run(store, context, until: runtime.now) }
            operation = running
        }
        return operation?.errors ?? []
    }

    func findWaiting(_ command: Document) async throws -> [Document] {
        let request = try command.withView { try FindRequest(Fixture.orders, $0, context: self.context.query) }
        let cursor = try QueryCursor(store, request)
        defer { cursor.close() }
        return try await all { try cursor.next(into: &$0, maxDocuments: .max, maxBytes: .max, deadline: $1) }
    }

    func aggregateWaiting(_ stages: [Value]) async throws -> [Document] {
        let cursor = try Document(array: stages).withView {
            try AggregateCursor(store, Fixture.orders, pipeline: $0, context: context.query)
        }
        defer { cursor.close() }
        return try await all { try cursor.next(into: &$0, maxDocuments: .max, maxBytes: .max, deadline: $1) }
    }

    private func all(_ next: (inout ArrayWriter, Instant) throws -> CursorProgress) async throws -> [Document] {
        let buffer = ByteBuffer()
        var array = ArrayWriter(startingIn: buffer)
        try await waiting { try next(&array, runtime.now) == .exhausted ? .done : .yield }
        array.finish()
        return DocumentView(base: UnsafeRawPointer(buffer.base)).compactMap { $0.value.asDocument?.document }
    }

    func createIndexWaiting(_ specification: Document) async throws {
        let outcome = try specification.withView { try store.createIndexes(Fixture.orders, [$0], context) }
        guard let build = outcome.build else { return }
        try await waiting { try build.step(until: runtime.now) }
        try store.commitIndexBuild(build, context)
    }

    func hashWaiting() async throws -> String {
        let hash = try DatabaseHash(store, database: "shop")
        defer { hash.close() }
        try await waiting { try hash.run(until: runtime.now) }
        return hash.result["md5"]?.asString ?? ""
    }

    /// What `validate` says: numbers of records and keys, and all that is wrong.
    func validateWaiting() async throws -> [String] {
        guard let collection = store.catalog.find(Fixture.orders) else { return ["no collection"] }
        let validation = CollectionValidation(store, collection)
        try await waiting { try validation.run(until: runtime.now) }
        let report = validation.report
        return ["\(report.records)"] + report.keysPerIndex.map { "\($0.name) \($0.keys)" } + report.errors
    }

    /// Applies an entry as a secondary does.
    func applyWaiting(_ entry: Document) async throws {
        while true {
            let outcome = try await store.whenResident { try entry.withView { try store.apply($0, .steady) } }
            guard case .waitsForIndexBuild(let build) = outcome else { return }
            try await waiting { try build.step(until: runtime.now, .committing) }
        }
    }
}

extension Document {
    /// A view of bytes that stay where they are while `body` waits.
    func withBytesWaiting(_ body: (DocumentView) async throws -> Void) async throws {
        let copy = ByteBuffer(capacity: byteCount)
        withView { copy.append($0.bytes) }
        try await body(DocumentView(base: UnsafeRawPointer(copy.base)))
        withExtendedLifetime(copy) {}
    }
}
