import BSON
import Core
import Data
import Testing

@Suite("Validators")
struct ValidatorTests {
    private func refused(_ body: () throws -> Void) {
        let error = #expect(throws: ServerError.self, performing: body)
        #expect(error?.code == .documentValidationFailure)
        #expect(error?.details?["errInfo"]?.asDocument?["failingDocumentId"] != nil)
    }

    @Test("a document that does not match the validator is not inserted, unless the write bypasses it")
    func inserts() async throws {
        let node = try await Fixture()
        try node.createCollection(Fixture.orders, ["validator": ["a": ["$gt": 0]]])
        refused { try node.insertOne(["_id": 1, "a": 0]) }
        #expect(try node.find().isEmpty)
        var context = node.context
        context.bypassesValidation = true
        let document: Document = ["_id": 1, "a": 0]
        _ = try document.withView { try node.store.insertOne($0, into: try node.collection(), context) }
        #expect(try node.find().count == 1)
    }

    @Test("a moderate validator lets a document stay as wrong as it is, and no other become wrong")
    func moderate() async throws {
        let node = try await Fixture()
        try node.insertOne(["_id": 1, "a": 0])
        try node.insertOne(["_id": 2, "a": 5])
        let change: Document = ["validator": ["a": ["$gt": 0]], "validationLevel": "moderate"]
        _ = try change.withView { try node.store.modifyCollection(Fixture.orders, $0, node.context) }
        _ = try node.update(["q": ["_id": 1], "u": ["$set": ["b": 1]]])
        refused { _ = try node.update(["q": ["_id": 2], "u": ["$set": ["a": 0]]]) }
        refused { _ = try node.update(["q": ["_id": 3], "u": ["$set": ["a": 0]], "upsert": true]) }
        #expect(try node.find().count == 2)
    }

    @Test("a validator that does not compile is refused, not kept")
    func broken() async throws {
        let node = try await Fixture()
        #expect(throws: ServerError.self) {
            try node.createCollection(Fixture.orders, ["validator": ["$nonsense": 1]])
        }
        #expect(node.store.catalog.find(Fixture.orders) == nil)
    }
}
