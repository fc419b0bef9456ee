import BSON
import Core
import Data
import Query
import Testing

/// Writes whose validators and expressions take many slices for one document, interrupted at every look at the time.
@Suite("Writes that are validated in many slices") struct ValidationInterruptionTests {
    private static let count: Value = ["$size": ["$filter": ["input": "$a", "cond": ["$in": ["$$this", "$a"]]]]]
    /// Some thousand steps for a document with an array of two thousand numbers.
    private static let heavy: Value = ["$eq": [.document(["$add": [Self.count, "$n"]]), 2001]]
    private static let array = Value.array((0..<2000).map { .int32(Int32($0)) })

    private func validated(_ options: Document = [:], validator: Document? = nil) async throws -> Fixture {
        let node = try await Fixture()
        var command: Document = ["create": "orders", "validator": .document(validator ?? ["$expr": Self.heavy])]
        for (name, value) in options.fields { command.append(name, value) }
        _ = try command.withView { try node.store.createCollection(Fixture.orders, $0, node.context) }
        return node
    }

    private func budget(_ node: Fixture) -> EvaluationBudget { EvaluationBudget(node.runtime, looksPerSlice: 0) }

    private func query(_ node: Fixture) -> QueryContext {
        var context = node.context.query
        context.budget = Confined(budget(node))
        context.random = QueryContext(randomSeed: 1).random
        return context
    }

    /// Runs an operation to its end; how many slices it took.
    private func slices(between: (Int) throws -> Void = { _ in }, _ run: () throws -> WriteProgress) throws -> Int {
        var slices = 1
        while case .yield = try run() {
            try between(slices)
            slices += 1
            try #require(slices < 100_000)
        }
        return slices
    }

    private func insert(
        _ documents: [Document], _ node: Fixture, between: (Int) throws -> Void = { _ in }
    ) throws -> (InsertOperation, slices: Int) {
        try Document(array: documents.map { .document($0) }).withView { view in
            var operation = InsertOperation(
                into: .namespace(Fixture.orders), DocumentRun(array: view), isOrdered: false, budget: budget(node))
            let count = try slices(between: between) {
                try operation.run(node.store, node.context, until: .distantFuture)
            }
            return (operation, count)
        }
    }

    private func update(_ statement: Document, _ node: Fixture) throws -> UpdateOperation {
        try statement.withView {
            UpdateOperation(node.store, Fixture.orders, try UpdateStatement($0, context: query(node)))
        }
    }

    @Test("an insert is written once its validation is through, and refused when that says so")
    func insert() async throws {
        let node = try await validated()
        let documents: [Document] = [
            ["_id": 1, "n": 1, "a": Self.array], ["_id": 2, "n": 2, "a": Self.array], ["n": 1, "a": Self.array],
        ]
        let (operation, count) = try insert(documents, node)
        #expect(count > 9)
        #expect(operation.n == 2)
        #expect(operation.errors.map(\.index) == [1])
        #expect(operation.errors.first?.error.code == .documentValidationFailure)
        let found = try node.find(["projection": ["a": 0]])
        #expect(found.count == 2)
        #expect(found.first == ["_id": 1, "n": 1])
    }

    @Test("nothing is written before the validation is through, and what was made stays as it was made")
    func nothingBefore() async throws {
        let node = try await validated(validator: ["$expr": ["$and": [Self.heavy, ["$lt": ["$r", 1]]]]])
        try node.insert(["_id": 1, "n": 1, "r": 0, "a": Self.array])
        let operation = try update(
            ["q": ["_id": 1], "u": [["$set": ["r": ["$rand": [:]], "c": Self.count]]]], node)
        let count = try slices(between: { _ in
            let found = try node.find(["projection": ["r": 1]])
            #expect(found == [["_id": 1, "r": 0]])
        }) { try operation.run(node.context, until: .distantFuture) }
        #expect(count > 6)
        #expect(operation.nModified == 1)
        let random = try node.find().first?["r"]?.asNumber ?? 0
        #expect(random > 0 && random < 1)
    }

    @Test("what has changed between two slices is updated, and validated, as it is then")
    func changedMeanwhile() async throws {
        let node = try await validated()
        try node.insert(["_id": 1, "n": 1, "a": Self.array])
        let operation = try update(["q": ["_id": 1], "u": ["$set": ["x": 1]]], node)
        let count = try slices(between: { slice in
            if slice == 2 { try node.update(["q": ["_id": 1], "u": ["$set": ["y": 2]]]) }
        }) { try operation.run(node.context, until: .distantFuture) }
        #expect(count > 4)
        #expect(try node.find(["projection": ["a": 0]]) == [["_id": 1, "n": 1, "y": 2, "x": 1]])
    }

    @Test("a moderate validator spares what was wrong before")
    func moderate() async throws {
        let node = try await validated(["validationLevel": "moderate"])
        var context = node.context
        context.bypassesValidation = true
        try node.insert(["_id": 1, "n": 5, "a": Self.array], with: context)
        try node.insert(["_id": 2, "n": 1, "a": Self.array])
        let spared = try update(["q": ["_id": 1], "u": ["$set": ["n": 6]]], node)
        #expect(try slices { try spared.run(node.context, until: .distantFuture) } > 6)
        #expect(spared.nModified == 1)
        let refused = try update(["q": ["_id": 2], "u": ["$set": ["n": 6]]], node)
        let error = #expect(throws: ServerError.self) {
            try slices { try refused.run(node.context, until: .distantFuture) }
        }
        #expect(error?.code == .documentValidationFailure)
    }

    @Test("operations that take turns do not begin anew because of each other")
    func taking() async throws {
        let node = try await validated()
        try node.insert(["_id": 1, "n": 1, "a": Self.array])
        let alone = try insert([["_id": 2, "n": 1, "a": Self.array]], node).slices
        let other = try update(["q": ["_id": 1], "u": ["$set": ["x": 1]]], node)
        var isDone = false
        let together = try insert([["_id": 3, "n": 1, "a": Self.array]], node) { _ in
            if !isDone, case .done = try other.run(node.context, until: .distantFuture) { isDone = true }
        }.slices
        #expect(together == alone)
        #expect(isDone)
    }

    @Test("a validator that is changed between two slices counts as it is then")
    func changedValidator() async throws {
        let node = try await validated()
        let (operation, _) = try insert([["_id": 1, "n": 7, "a": Self.array]], node) { slice in
            guard slice == 2 else { return }
            let change: Document = ["collMod": "orders", "validator": ["n": 7]]
            _ = try change.withView { try node.store.modifyCollection(Fixture.orders, $0, node.context) }
        }
        #expect(operation.n == 1)
    }

    @Test("an upsert makes its collection and its document when the evaluation is through")
    func upsert() async throws {
        let node = try await Fixture()
        let operation = try update(
            [
                "q": ["_id": 1, "a": ["$eq": Self.array]],
                "u": [["$set": ["c": Self.count, "r": ["$rand": [:]]]], ["$set": ["d": Self.count]], ["$unset": "a"]],
                "upsert": true,
            ], node)
        let count = try slices(between: { _ in #expect(node.store.catalog.find(Fixture.orders) == nil) }) {
            try operation.run(node.context, until: .distantFuture)
        }
        #expect(count > 6)
        #expect(operation.upsertedID == 1)
        #expect(try node.find(["projection": ["r": 0]]) == [["_id": 1, "c": 2000, "d": 2000]])
    }

    @Test("an upsert is validated in slices, with the _id that it made first")
    func validatedUpsert() async throws {
        let node = try await validated()
        let operation = try update(
            ["q": ["k": 1], "u": ["$set": ["n": 1, "a": Self.array]], "upsert": true], node)
        #expect(try slices { try operation.run(node.context, until: .distantFuture) } > 4)
        let found = try node.find(["projection": ["a": 0]])
        #expect(found.map { $0["_id"] } == [operation.upsertedID])
    }

    @Test("the projection of findAndModify takes slices, behind a write that happens once, also when it is retried")
    func projection() async throws {
        for isNew in [false, true] {
            let node = try await Fixture()
            try node.insertOne(["_id": 1, "n": 1, "a": Self.array])
            let command: Document = [
                "query": ["_id": 1], "update": ["$inc": ["n": 1]], "new": .bool(isNew),
                "fields": ["x": ["$add": [Self.count, "$n"]], "y": Self.count],
            ]
            for _ in 0..<2 {
                let write = try node.context(session: 1, number: 1)
                let operation = try command.withView {
                    try FindAndModifyOperation(node.store, Fixture.orders, $0, context: query(node))
                }
                #expect(try slices { try operation.run(write, until: .distantFuture) } > 4)
                #expect(operation.value == ["_id": 1, "x": isNew ? 2002 : 2001, "y": 2000])
                #expect(try node.find(["projection": ["n": 1]]) == [["_id": 1, "n": 2]])
            }
        }
    }

    @Test("a refusal that would take long to explain says so")
    func explanation() async throws {
        let node = try await validated(validator: [
            "$expr": ["$eq": [["$sum": ["$map": ["input": ["$range": [0, 400_000]], "in": 1]]], 1]]
        ])
        let (operation, count) = try insert([["_id": 1]], node)
        #expect(count > 1000)
        let details = operation.errors.first?.error.details?["errInfo"]?.asDocument?["details"]?.asDocument
        #expect(details?["reason"] == "the explanation of the failure takes too long")
    }
}
