import BSON
import Core
import Testing

@testable import Query

/// Updates that name thousands of fields or values: what people send who write whole documents by operators. Each
/// look-up that walks over all of them shows here as minutes.
@Suite("Wide updates")
struct WideUpdateTests {
    private let count = 50_000

    private func fields(_ prefix: String, _ value: (Int) -> Value) -> Document {
        Document { writer in for index in 0..<count { writer.append("\(prefix)\(index)", value(index)) } }
    }

    private func apply(_ update: Document, to document: Document) throws -> Document {
        let program = try update.withView { view in
            try UpdateProgram(
                ValueView(view), context: QueryContext())
        }
        let output = ByteBuffer()
        _ = try document.withView { try program.apply(to: $0, into: output) }
        return Document(trusted: output.toArray())
    }

    @Test("new fields come in the order of their names, numbers in that of their values")
    func newFields() throws {
        let changed = try apply(
            [
                "$set": .document(fields("f") { .int32(Int32($0)) }),
                "$inc": .document(fields("") { .int32(Int32($0)) }),
            ],
            to: ["_id": 1])
        let names = changed.fields.map(\.key)
        #expect(names.count == 2 * count + 1)
        #expect(Array(names[1...count]) == (0..<count).map(String.init))
        #expect(
            Array(names[(count + 1)...])
                == (0..<count).map { "f\($0)" }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        #expect(changed["f49999"] == .int32(49_999))
    }

    @Test("fields that are there keep their places")
    func existingFields() throws {
        let document = fields("f") { .int32(Int32($0)) }
        let changed = try apply(["$set": .document(fields("f") { .int32(Int32(-$0)) })], to: document)
        #expect(changed == fields("f") { .int32(Int32(-$0)) })
        let removed = try apply(["$unset": .document(fields("f") { _ in 1 }), "$set": ["x": 1]], to: document)
        #expect(removed == ["x": 1])
    }

    @Test("elements by their indexes")
    func indexes() throws {
        let changed = try apply(
            ["$set": .document(fields("a.") { .int32(Int32(-$0)) })],
            to: ["a": .array([.int32(7)])])
        #expect(changed == ["a": .array((0..<count).map { .int32(Int32(-$0)) })])
    }

    @Test("values of a set, with those that are equal and of another type")
    func addToSet() throws {
        let new = (0..<count).map { Value.int32(Int32($0 % 40_000)) }
        let made = try apply(["$addToSet": ["a": ["$each": .array(new)]]], to: [:])
        #expect(made == ["a": .array((0..<40_000).map { .int32(Int32($0)) })])
        let old = (0..<count).map { Value.double(Double($0) * 2) }
        let grown = try apply(["$addToSet": ["a": ["$each": .array(new.reversed())]]], to: ["a": .array(old)])
        // Reversed, the list begins with 9,999 down to 0, and goes on with 39,999.
        let odd = Array(stride(from: 9_999, to: 0, by: -2)) + Array(stride(from: 39_999, to: 10_000, by: -2))
        #expect(grown == ["a": .array(old + odd.map { .int32(Int32($0)) })])
    }

    @Test("values that are pulled")
    func pullAll() throws {
        let old = (0..<count).map { Value.int32(Int32($0)) }
        let pulled = (0..<count).filter { $0 % 3 != 0 }.map { Value.double(Double($0)) }
        let left = try apply(["$pullAll": ["a": .array(pulled)]], to: ["a": .array(old)])
        #expect(left == ["a": .array(stride(from: 0, to: count, by: 3).map { .int32(Int32($0)) })])
    }

    @Test("projections and stages with as many fields")
    func projections() throws {
        let document = fields("f") { .int32(Int32($0)) }
        for (flag, wanted) in [(1, document), (0, Document())] {
            let projection = try fields("f") { _ in .int32(Int32(flag)) }.withView {
                try Projection($0, context: QueryContext())
            }
            let output = ByteBuffer()
            try document.withView { try projection.apply($0, to: output) }
            #expect(Document(trusted: output.toArray()) == wanted)
        }
        let additions = try fields("f") { .int32(Int32(-$0)) }.withView { view in
            try FieldAdditions(
                "$set", ValueView(view),
                context: QueryContext())
        }
        let output = ByteBuffer()
        try document.withView { try additions.apply($0, to: output) }
        #expect(Document(trusted: output.toArray()) == fields("f") { .int32(Int32(-$0)) })
    }
}
