public import BSON
public import Core

/// The contract of `ShardKeyStrategy`, as a suite that the author of one runs. No test framework is needed: a violation
/// is thrown.
///
/// For each key pattern it draws documents and bounds of filters from a seed, and compares where the core finds a
/// document with whether the bounds hold it.
public struct ShardKeyStrategyConformance {
    private let strategy: any ShardKeyStrategy
    private let patterns: [Document]
    private let seed: UInt64
    private let documents: Int

    /// - Parameters:
    ///   - strategy: what is examined.
    ///   - patterns: key patterns that it accepts.
    ///   - seed: what documents and bounds are drawn from.
    ///   - documents: how many documents of each pattern.
    public init(_ strategy: any ShardKeyStrategy, patterns: [Document], seed: UInt64 = 1, documents: Int = 500) {
        self.strategy = strategy
        self.patterns = patterns
        self.seed = seed
        self.documents = documents
    }

    /// Runs every check.
    /// - Throws: `ConformanceViolation`.
    public func run() throws {
        try expect(!strategy.name.isEmpty, "the strategy has no name")
        try expect(!patterns.isEmpty, "no key patterns to examine it with")
        for pattern in patterns {
            var generator = SplitMix64(seed: seed)
            let space = try violation("refuses the pattern \(pattern.keys)") {
                try ShardKeySpace(strategy, pattern: pattern)
            }
            try checkPurity(space, pattern)
            try checkEqualValues(space, &generator)
            try checkSpread(space)
            for _ in 0..<documents { try checkTargeting(space, &generator) }
            for shards in [1, 2, 3, 7, 100] { try checkSplits(space, shards: shards) }
        }
    }

    /// What a strategy throws is a violation of its contract here.
    private func violation<R>(_ what: String, _ body: () throws -> R) throws -> R {
        do { return try body() } catch let error as ConformanceViolation { throw error } catch {
            throw ConformanceViolation("it \(what): \(error)")
        }
    }

    private func checkPurity(_ space: ShardKeySpace, _ pattern: Document) throws {
        let again = try ShardKeySpace(strategy, pattern: pattern)
        try expect(again.layout == space.layout, "it lays one pattern out in two ways: it is not pure")
        let prints = try violation("does not stand by its numbers") {
            (try space.fingerprint(), try again.fingerprint())
        }
        try expect(prints.0 == prints.1, "its numbers for a value change: it is not pure")
    }

    /// Values that compare as equal are one place, whatever their types.
    private func checkEqualValues(_ space: ShardKeySpace, _ generator: inout SplitMix64) throws {
        for number in [Int64(0), 1, -7, 1_000_000, Int64(generator.below(1_000_000))] {
            let forms: [Value] = [
                .int64(number), .double(Double(number)), .decimal128(Decimal128(number)),
                .int32(Int32(clamping: number)),
            ]
            let places = try forms.map { value in try place(of: Self.document(space, value), in: space) }
            try expect(Set(places).count == 1, "equal numbers of different types have different places: \(number)")
        }
        let missing = try place(of: Document(), in: space)
        try expect(
            try place(of: Self.document(space, .null), in: space) == missing,
            "a missing field has not the place of null")
    }

    /// Many different keys have more than one place, or a collection could never be spread.
    private func checkSpread(_ space: ShardKeySpace) throws {
        let places = try (0..<1000).map { number in
            try place(of: Self.document(space, .int32(Int32(number))), in: space)
        }
        try expect(Set(places).count > 1, "a thousand different keys have one place")
    }

    /// The ranges of a filter hold a document if its fields are within the bounds; and of a filter that names one value
    /// for each field, they hold few others.
    private func checkTargeting(_ space: ShardKeySpace, _ generator: inout SplitMix64) throws {
        let values = space.pattern.fields.map { _ in Self.value(&generator) }
        let document = Self.document(space, values)
        let position = try place(of: document, in: space)
        let bounds = values.map { Self.bounds(around: $0, &generator) }
        let ranges = try violation("fails when a filter is looked for") { try space.ranges(bounds) }
        try expect(
            ranges.contains { $0.contains(position) },
            "a filter that matches the document with \(values) is not looked for where the document is")
        try expect(ranges == KeyRange.joined(ranges), "the ranges of a filter are not ascending or overlap")
        let exact = try space.ranges(values.map { .points([$0]) })
        try expect(
            exact.count == 1, "a filter that names every field of the key is looked for in \(exact.count) ranges")
        let bound = try document.withView { try space.bound(at: $0) }
        try expect(bound.key == position, "the bound at a document is not its position")
        try expect(try space.bound(bound.document).key == position, "a bound that is read again is another one")
    }

    private func checkSplits(_ space: ShardKeySpace, shards: Int) throws {
        let zone = InitialChunkRequest.Zone(name: "all", min: space.lowest, max: space.highest, shardCount: shards)
        for zones in [[], [zone]] {
            let request = InitialChunkRequest(
                pattern: space.pattern, layout: space.layout, shardCount: shards, chunksPerShard: 1, zones: zones)
            let asked = strategy.initialSplits(request)
            try expect(asked == strategy.initialSplits(request), "it asks for other splits when asked again")
            let taken = space.initialSplits(shardCount: shards, zones: zones)
            try expect(
                taken.count == asked.count, "\(asked.count - taken.count) of its splits are no bounds, or repeated")
            try expect(taken.count <= 100 * shards, "it asks for \(taken.count) splits for \(shards) shards")
        }
    }

    // MARK: Drawing

    private func place(of document: Document, in space: ShardKeySpace) throws -> [UInt8] {
        try violation("has no place for a document") { try document.withView { try space.position(of: $0) } }
    }

    /// A document with one value in every field of the key.
    private static func document(_ space: ShardKeySpace, _ value: Value) -> Document {
        document(space, space.pattern.fields.map { _ in value })
    }

    private static func document(_ space: ShardKeySpace, _ values: [Value]) -> Document {
        var document: Document = ["_id": 1]
        for (field, value) in zip(space.pattern.fields, values) {
            set(value, at: field.path.split(separator: ".").map(String.init)[...], in: &document)
        }
        return document
    }

    private static func set(_ value: Value, at path: ArraySlice<String>, in document: inout Document) {
        guard let name = path.first else { return }
        guard path.count > 1 else {
            document[name] = value
            return
        }
        var inner = document[name]?.asDocument ?? Document()
        set(value, at: path.dropFirst(), in: &inner)
        document[name] = .document(inner)
    }

    private static func value(_ generator: inout SplitMix64) -> Value {
        switch generator.below(9) {
        case 0: .int32(Int32(generator.below(50)))
        case 1: .int64(Int64(bitPattern: generator.next()))
        case 2: .double(Double(generator.below(1000)) / 8)
        case 3: .string(String(repeating: "k", count: generator.below(4)) + "\(generator.below(50))")
        case 4: .objectID(ObjectID(high: generator.next(), low: 7))
        case 5: .dateTime(Int64(generator.below(1_000_000)))
        case 6: .null
        case 7: .bool(generator.oneIn(2))
        default: .document(["a": .int32(Int32(generator.below(3)))])
        }
    }

    /// Bounds that hold a value, of every kind that a planner makes.
    private static func bounds(around value: Value, _ generator: inout SplitMix64) -> ShardKeyBounds {
        switch generator.below(6) {
        case 0: return .all
        case 1: return .points([value])
        case 2: return .points([value, .string("other"), .int32(7), .null])
        case 3: return ShardKeyBounds([.init(.minKey, value)])
        case 4: return ShardKeyBounds([.init(value, .maxKey, includesHigh: false)])
        default:
            return ShardKeyBounds([
                .init(.minKey, includesLow: false, value, includesHigh: false), .point(value),
                .init(value, includesLow: false, .maxKey),
            ])
        }
    }
}
