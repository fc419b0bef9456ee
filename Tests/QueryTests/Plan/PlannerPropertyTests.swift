import BSON
import Core
import Testing

@testable import Query

/// Random documents, filters and sorts over few names and few values, so that they meet.
struct PlanGenerator {
    var random: SplitMix64
    static let paths = ["a", "b", "a.b", "a.c", "c", "a.b.c", "a.0", "b.1.c"]

    mutating func scalar() -> Value {
        random.pick([
            0, 1, 2, 3, 1.5, .int64(2), nil, "x", "xy", "y", true, false, .double(.nan), .dateTime(3),
            .objectID(ObjectID(high: 1, low: 2)), .minKey, .regex(pattern: "^x", options: ""),
            .decimal128(Decimal128(1)),
        ])
    }

    mutating func value(_ depth: Int) -> Value {
        let roll = random.next() % 10
        if depth > 0, roll < 2 { return .document(document(depth - 1)) }
        if depth > 0, roll < 5 { return .array((0..<Int(random.next() % 4)).map { _ in value(depth - 1) }) }
        return random.chance(70) ? random.pick([1, 2, 3]) : scalar()
    }

    mutating func document(_ depth: Int) -> Document {
        var document = Document()
        for name in ["a", "b", "c"] where random.chance(65) { document.append(name, value(depth)) }
        return document
    }

    mutating func condition(_ depth: Int) -> Value {
        let number: Value = random.pick([0, 1, 2, 3])
        switch random.next() % 20 {
        case 0...3: return number
        case 4: return ["$gt": number]
        case 5: return ["$gte": scalarOperand()]
        case 6: return ["$lt": scalarOperand()]
        case 7: return ["$gt": number, "$lt": random.pick([2, 3, 4])]
        case 8: return ["$in": [number, value(1).type == .regex ? 1 : listed(), number]]
        case 9: return ["$ne": scalarOperand()]
        case 10: return ["$nin": [number, listed()]]
        case 11: return ["$exists": .bool(random.chance(50))]
        case 12: return ["$not": ["$gt": scalarOperand()]]
        case 13: return ["$elemMatch": ["$gt": number, "$lt": random.pick([2, 3, 4])]]
        case 14 where depth > 0: return ["$elemMatch": .document(filter(depth - 1, elements: true))]
        case 15: return ["$regex": random.pick(["^x", "y", "^xy?"])]
        case 16: return ["$all": [number, random.pick([1, 2])]]
        case 17: return random.pick([nil, ["$eq": nil], ["$ne": nil], ["$gte": nil]])
        case 18: return ["$size": random.pick([0, 1, 2])]
        default: return ["$eq": value(2)]
        }
    }

    private mutating func scalarOperand() -> Value {
        let value = scalar()
        return value.type == .regex ? 2 : value
    }
    private mutating func listed() -> Value {
        let value = value(1)
        if case .document = value { return "x" }
        return value
    }

    mutating func filter(_ depth: Int, elements: Bool = false) -> Document {
        var filter = Document()
        for _ in 0..<(1 + random.next() % 3) {
            if depth > 0, random.chance(20) {
                let branches = (0..<(1 + random.next() % 3)).map { _ in
                    Value.document(self.filter(depth - 1, elements: elements))
                }
                filter.append(random.pick(["$or", "$and", "$nor", "$or"]), .array(branches))
            } else {
                filter.append(random.pick(elements ? ["a", "b", "c", "b.c"] : PlanGenerator.paths), condition(depth))
            }
        }
        return filter
    }

    mutating func keyPattern() -> Document {
        var key = Document()
        for _ in 0..<(1 + random.next() % 3) {
            let path = random.pick(PlanGenerator.paths)
            if key[path] == nil { key.append(path, random.pick([1, -1])) }
        }
        return key
    }

    /// Some random fields, or the beginning of an index in one of its directions.
    mutating func sort(_ indexes: [IndexSpec]) -> Document {
        guard random.chance(60) else { return keyPattern() }
        let fields = random.pick(indexes).pattern.fields
        let isReversed = random.chance(50)
        var sort = Document()
        for field in fields.prefix(1 + Int(random.next() % 3)) {
            sort.append(field.path.string, .int32((field.kind == .descending) == isReversed ? 1 : -1))
        }
        return sort
    }

    mutating func indexes() throws -> [IndexSpec] {
        try (0..<(1 + random.next() % 3)).map { number in
            var options = Document()
            switch random.next() % 6 {
            case 0: options = ["sparse": true]
            case 1:
                options = [
                    "partialFilterExpression": random.pick([
                        ["b": ["$gt": 1]], ["a": ["$exists": true]], ["a": 1], ["b": ["$type": "number"]],
                        ["a": ["$in": [1, 2]]], ["$or": [["a": ["$gte": 2]], ["b": ["$lt": 2]]]],
                    ])
                ]
            default: break
            }
            return try indexSpec(keyPattern(), options, name: "index\(number)")
        }
    }
}

@Suite("Planner against a collection scan") struct PlannerPropertyTests {
    @Test(
        "a plan finds exactly what a collection scan finds, and in the order of the sort it claims", arguments: 0..<40)
    func planned(_ seed: UInt64) throws {
        var generator = PlanGenerator(random: SplitMix64(seed: seed))
        var indexed = 0
        var sorted = 0
        for _ in 0..<10 {
            let depth = Int(generator.random.next() % 4)
            let documents = (0..<40).map { number in
                var document: Document = ["_id": .int32(Int32(number))]
                for (name, value) in generator.document(depth).fields { document.append(name, value) }
                return document
            }
            let collection = try PlanCollection(try generator.indexes(), documents)
            for _ in 0..<30 {
                let source = generator.filter(2)
                guard let filter = try? compile(source) else { continue }
                let sort = generator.random.chance(50) ? try sortPattern(generator.sort(collection.indexes)) : nil
                let plan = try Planner.plan(filter: filter, sort: sort, indexes: collection.indexes)
                if case .collectionScan = plan.access {} else { indexed += 1 }
                let found = try collection.run(plan)
                let expected = try collection.documents.indices.filter { try filter.matches(collection.documents[$0]) }
                try #require(
                    found.sorted() == expected,
                    "\(ValueText.document(source)) by \(ValueText.document(plan.winningPlan()))")
                guard let sort, plan.providesSort else { continue }
                guard let keys = try? sortKeys(sort, found.map { collection.documents[$0] }) else { continue }
                sorted += 1
                for (a, b) in zip(keys, keys.dropFirst()) {
                    try #require(
                        !b.lexicographicallyPrecedes(a),
                        "\(ValueText.document(source)) by \(ValueText.document(plan.winningPlan())), sorted"
                    )
                }
            }
        }
        // The seeds must reach what they are to test.
        #expect(indexed > 30)
        #expect(sorted > 10)
    }

    private func sortKeys(_ sort: SortPattern, _ documents: [Document]) throws -> [[UInt8]] {
        try documents.map { document in
            let buffer = ByteBuffer()
            try document.withView { try sort.appendKey($0, to: buffer) }
            return buffer.toArray()
        }
    }

    @Test("bounds and their complement hold every value once")
    func complement() {
        var random = SplitMix64(seed: 3)
        for _ in 0..<300 {
            let bounds = FieldBounds(
                (0..<Int(random.next() % 4)).map { _ in
                    let a = Int32(random.next() % 9)
                    let b = Int32(random.next() % 9)
                    return Interval(
                        IntervalEnd(.int32(min(a, b))), random.chance(50), IntervalEnd(.int32(max(a, b))),
                        random.chance(50))
                })
            let rest = bounds.complement
            for value in -1...9 {
                let key = IntervalEnd(.int32(Int32(value)))
                #expect(contains(bounds, key) != contains(rest, key))
                #expect(!contains(bounds.intersection(rest), key))
            }
        }
    }

    private func contains(_ bounds: FieldBounds, _ key: IntervalEnd) -> Bool {
        bounds.intervals.contains { interval in
            (interval.low < key || (interval.low == key && interval.includesLow))
                && (key < interval.high || (key == interval.high && interval.includesHigh))
        }
    }
}
