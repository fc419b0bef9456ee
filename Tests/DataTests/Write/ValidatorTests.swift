import BSON
import Core
import Testing

@testable import Data

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

    /// Keeps what is logged.
    private final class Lines: LogSink {
        var minimumLevel: LogLevel { .debug }
        private(set) var lines: [String] = []
        func write(_ level: LogLevel, _ component: StaticString, _ message: String) { lines.append(message) }
    }

    @Test(
        "a validator refuses, logs or does both, with the same explanation",
        arguments: [("error", true, 0), ("warn", false, 1), ("errorAndLog", true, 1)])
    func actions(_ action: String, _ refuses: Bool, _ lines: Int) throws {
        let validator = try #require(
            try DocumentValidator(["validator": ["a": ["$gt": 0]], "validationAction": .string(action)]))
        let log = Lines()
        let runtime = StillRuntime(seed: 1)
        runtime.log = log
        func check(_ document: Document) throws { try document.withView { try validator.check($0, nil, runtime) } }
        try check(["_id": 1, "a": 1])
        #expect(log.lines.isEmpty)
        if refuses {
            refused { try check(["_id": 2, "a": 0]) }
        } else {
            try check(["_id": 2, "a": 0])
        }
        #expect(log.lines.count == lines)
        #expect(log.lines.allSatisfy { $0.contains("failingDocumentId") && $0.contains("comparison failed") })
    }

    @Test("an explanation that would be as large as a document is left out")
    func largeDetails() throws {
        let validator = try #require(try DocumentValidator(["validator": ["a": 1]]))
        let document: Document = ["_id": 1, "a": .string(String(repeating: "x", count: 2 * 1024 * 1024))]
        let error = #expect(throws: ServerError.self) {
            try document.withView { try validator.check($0, nil, StillRuntime(seed: 1)) }
        }
        #expect(error?.details?["errInfo"]?.asDocument?["details"]?.asDocument?["truncated"] == true)
        #expect((error?.details?.byteCount ?? .max) < 1000)
    }

    @Test("the details of many failures fill one reply and no more, and every failure has its code")
    func manyFailures() {
        var (errors, bytes): ([StatementError], Int) = ([], 0)
        let large: Document = ["errInfo": .string(String(repeating: "x", count: 1024 * 1024))]
        for index in 0..<100 {
            let error = ServerError(.documentValidationFailure, "Document failed validation", details: large)
            errors.append(index: index, error, countingIn: &bytes)
        }
        #expect(errors.count == 100)
        #expect(errors.allSatisfy { $0.error.code == .documentValidationFailure })
        let explained = errors.filter { $0.error.details != nil }.count
        #expect(explained * 1024 * 1024 >= Limits.writeErrorBytesMax && explained < 10)
    }
}
