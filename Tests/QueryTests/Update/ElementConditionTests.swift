import BSON
import Core
import Testing

@testable import Query

/// A clock that moves a little whenever it is read.
private final class TickingClock: MonotonicClock {
    private var time = Instant(nanoseconds: 0)
    var now: Instant {
        time = time + .microseconds(100)
        return time
    }
}

/// Conditions on elements that take many slices: the outcome is that of one, and each slice gets on.
@Suite("Conditions on elements in slices")
struct ElementConditionTests {
    private let count = 1_000

    private func compiled(
        _ update: Document, _ filters: [Document], _ budget: EvaluationBudget?
    ) throws -> UpdateProgram {
        var context = QueryContext()
        if let budget { context.budget = Confined(budget) }
        return try updateProgram(in: ["value": .document(update)], filters: filters, context: context)
    }

    /// `alternatives` conditions that no element satisfies, and those that are looked for.
    private func either(_ key: String, _ alternatives: Int, _ wanted: [Document]) -> Value {
        let never = (1...alternatives).map { Value.document([key: .int32(Int32(-$0))]) }
        return .array(never + wanted.map { .document($0) })
    }

    private func check(
        _ update: Document, filters: [Document] = [], to document: Document, slicesAtLeast: Int,
        _ expected: Document
    ) throws {
        let atOnce = try compiled(update, filters, nil)
        let whole = ByteBuffer()
        _ = try document.withView { try atOnce.apply(to: $0, into: whole) }
        #expect(Document(trusted: whole.toArray()) == expected)

        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 4)
        let program = try compiled(update, filters, budget)
        // The second time it finds nothing of the first.
        for _ in 0..<2 {
            let output = ByteBuffer()
            var slices = 1
            while slices < 1_000_000 {
                budget.beginSlice(until: .distantFuture)
                // A document that moves between two slices.
                let copy = Document(trusted: document.bytes)
                let isChanged = try copy.withView { try program.applyInterruptibly(to: $0, into: output) }
                if let isChanged {
                    #expect(isChanged == (expected != document))
                    break
                }
                #expect(output.count == 0)
                slices += 1
            }
            #expect(slices >= slicesAtLeast)
            #expect(Document(trusted: output.toArray()) == expected)
        }
    }

    private var objects: [Value] { (0..<count).map { ["x": .int32(Int32($0))] } }

    @Test("$pull by hundreds of conditions")
    func pull() throws {
        try check(
            ["$pull": ["a": ["$or": either("x", 300, [["x": 7], ["x": ["$gte": 990]]])]]],
            to: ["_id": 1, "a": .array(objects), "b": 1], slicesAtLeast: 20,
            ["_id": 1, "a": .array(objects.enumerated().filter { $0.0 != 7 && $0.0 < 990 }.map(\.1)), "b": 1])
    }

    @Test("$pull of nothing changes nothing")
    func pullNothing() throws {
        let document: Document = ["_id": 1, "a": .array(objects)]
        try check(["$pull": ["a": ["$or": either("x", 300, [])]]], to: document, slicesAtLeast: 20, document)
    }

    @Test("$pull of an element that takes many slices itself")
    func longElement() throws {
        let long: Value = ["x": .array((0..<8_000).map { .int32(Int32($0)) })]
        let short: Value = ["x": [.int32(-1)]]
        try check(
            ["$pull": ["a": ["x": ["$all": .array((1...100).map { .int32(8_000 - Int32($0)) })]]]],
            to: ["_id": 1, "a": [short, long, short]], slicesAtLeast: 20, ["_id": 1, "a": [short, short]])
    }

    @Test("arrayFilters of hundreds of conditions")
    func arrayFilters() throws {
        try check(
            ["$set": ["a.$[e].y": 1, "a.$[f].z": 2]],
            filters: [
                ["$or": either("e.x", 200, [["e.x": 3]])], ["$or": either("f.x", 200, [["f.x": ["$lt": 4]]])],
            ],
            to: ["_id": 1, "a": .array(objects)], slicesAtLeast: 20,
            [
                "_id": 1,
                "a": .array(
                    objects.enumerated().map { index, value in
                        switch index {
                        case 3: ["x": 3, "y": 1, "z": 2]
                        case ..<3: ["x": .int32(Int32(index)), "z": 2]
                        default: value
                        }
                    }),
            ])
    }

    @Test("another document in between is asked for itself")
    func anotherDocument() throws {
        let budget = EvaluationBudget(TickingClock(), looksPerSlice: 1)
        let program = try compiled(["$pull": ["a": ["$or": either("x", 300, [["x": ["$gte": 0]]])]]], [], budget)
        let first: Document = ["_id": 1, "a": .array(objects)]
        let second: Document = ["_id": 1, "a": .array((0..<count).map { ["x": .int32(-1_000 - Int32($0))] })]
        let output = ByteBuffer()
        budget.beginSlice(until: .distantFuture)
        #expect(try first.withView { try program.applyInterruptibly(to: $0, into: output) } == nil)
        var slices = 0
        while slices < 100_000 {
            budget.beginSlice(until: .distantFuture)
            slices += 1
            if let isChanged = try second.withView({ try program.applyInterruptibly(to: $0, into: output) }) {
                #expect(!isChanged)
                break
            }
        }
        #expect(Document(trusted: output.toArray()) == second)
    }
}
