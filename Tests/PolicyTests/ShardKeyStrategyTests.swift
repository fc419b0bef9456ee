import BSON
import Conformance
import Core
import ShardKeyStrategies
import Testing

/// The strategies that come along: their contracts, where they put documents, and what hostile ones can do.
@Suite struct ShardKeyStrategyTests {
    static let ranges: [Document] = [["a": 1], ["a": 1, "b.c": 1], ["_id": 1]]
    static let hashes: [Document] = [["a": "hashed"], ["a": "hashed", "b": 1], ["a": 1, "b.c": "hashed"]]

    private func space(_ strategy: any ShardKeyStrategy, _ pattern: Document) throws -> ShardKeySpace {
        try ShardKeySpace(strategy, pattern: pattern)
    }

    private func position(_ space: ShardKeySpace, _ document: Document) throws -> [UInt8] {
        try document.withView { try space.position(of: $0) }
    }

    private func failure(_ body: () throws -> Void) -> ServerError? {
        do { try body() } catch let error as ServerError { return error } catch {}
        return nil
    }

    @Test("every strategy keeps the contract", arguments: 1...4 as ClosedRange<UInt64>)
    func conformance(seed: UInt64) throws {
        try ShardKeyStrategyConformance(RangedShardKeys(), patterns: Self.ranges, seed: seed).run()
        try ShardKeyStrategyConformance(HashedShardKeys(), patterns: Self.hashes, seed: seed).run()
        try ShardKeyStrategyConformance(XXHashShardKeys(), patterns: Self.hashes, seed: seed).run()
        try ShardKeyStrategyConformance(MongoDBShardKeys(), patterns: Self.ranges + Self.hashes, seed: seed).run()
        try ShardKeyStrategyConformance(ZonedShardKeys(), patterns: [["a": 1, "b": "hashed"]], seed: seed).run()
    }

    /// A strategy that breaks one rule.
    struct Broken: ShardKeyStrategy {
        enum Fault: CaseIterable { case nameless, refuses, oneBucket, impureLayout, noSuchField, twice, badSplits }
        let fault: Fault
        let random = Hostile(.restless)
        typealias Hostile = HostileShardKeyStrategy

        var name: String { fault == .nameless ? "" : "broken" }
        func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
            switch fault {
            case .refuses: throw ServerError(.badValue, "no")
            case .oneBucket: return ShardKeyLayout([.buckets(0, count: 1)])
            case .impureLayout:
                let count = random.scatter(UnsafeRawBufferPointer(start: nil, count: 0), for: .scattered(0)) % 500
                return ShardKeyLayout([.buckets(0, count: Int(count) + 2)])
            case .noSuchField: return ShardKeyLayout([.ordered(5)])
            case .twice: return ShardKeyLayout([.ordered(0), .hashed(0)])
            case .nameless, .badSplits: return ShardKeyLayout([.ordered(0)])
            }
        }
        func initialSplits(_ request: InitialChunkRequest) -> [Document] {
            fault == .badSplits ? [["nothing": 1]] : []
        }
    }

    @Test("a strategy that breaks a rule is found", arguments: Broken.Fault.allCases)
    func broken(_ fault: Broken.Fault) {
        #expect(throws: ConformanceViolation.self) {
            try ShardKeyStrategyConformance(Broken(fault: fault), patterns: [["a": 1]], documents: 20).run()
        }
    }

    @Test(
        "hostile strategies fail operations or pile everything up, and lose no document",
        arguments: 1...3 as ClosedRange<UInt64>)
    func hostile(seed: UInt64) throws {
        for manner in HostileShardKeyStrategy.Manner.allCases {
            let space = try space(HostileShardKeyStrategy(manner), ["a": 1, "b": 1])
            let splits = space.initialSplits(shardCount: 4)
            #expect(splits.count <= Limits.initialChunksMax)
            #expect(zip(splits, splits.dropFirst()).allSatisfy { $0.key.lexicographicallyPrecedes($1.key) })
            var generator = SplitMix64(seed: seed)
            for _ in 0..<200 {
                let values: [Value] = [.int32(Int32(generator.below(9))), .string("x\(generator.below(9))")]
                let document: Document = ["a": values[0], "b": values[1]]
                guard manner != .restless else {
                    #expect(failure { _ = try position(space, document) }?.code == .internalError)
                    #expect(failure { _ = try space.ranges([.points([values[0]]), .all]) }?.code == .internalError)
                    continue
                }
                let place = try position(space, document)
                for bounds in [
                    [ShardKeyBounds.points([values[0]]), .all], [.all, .points([values[1]])], [.all, .all],
                ] {
                    #expect(try space.ranges(bounds).contains { $0.contains(place) })
                }
            }
        }
    }

    // MARK: Where values land

    @Test("values hash as the manual of MongoDB shows: chunk bounds that are hashes of 1 and 2, a hashed string")
    func hashVectors() throws {
        let vectors: [(Value, Int64)] = [
            (.int32(1), 5_902_408_780_260_971_510), (.double(1.7), 5_902_408_780_260_971_510),
            (.decimal128(Decimal128(1)), 5_902_408_780_260_971_510), (.int64(2), 848_411_777_775_835_583),
            (.string("string to hash"), 763_543_691_661_428_748),
        ]
        let space = try space(HashedShardKeys(), ["x": "hashed"])
        for (value, hash) in vectors {
            let document = Document { $0.append("x", value) }
            #expect(document.withView { $0.first.map { HashedKey.hash($0.value) } } == hash)
            #expect(try document.withView { try space.bound(at: $0) }.document == ["x": .int64(hash)])
        }
    }

    @Test("hashed keys are first cut where the manual shows it, one chunk for each shard")
    func hashedSplits() throws {
        let space = try space(HashedShardKeys(), ["x": "hashed", "y": 1])
        func bounds(_ shards: Int, _ each: Int = 1) -> [Int64] {
            space.initialSplits(shardCount: shards, chunksPerShard: each).compactMap { $0.document["x"]?.asInteger }
        }
        #expect(bounds(1) == [])
        #expect(bounds(2) == [0])
        #expect(bounds(2, 2) == [-4_611_686_018_427_387_902, 0, 4_611_686_018_427_387_902])
        #expect(bounds(3) == [-3_074_457_345_618_258_602, 3_074_457_345_618_258_602])
        #expect(
            bounds(3, 2) == [
                -6_148_914_691_236_517_204, -3_074_457_345_618_258_602, 0, 3_074_457_345_618_258_602,
                6_148_914_691_236_517_204,
            ])
        #expect(bounds(100_000).count == Limits.initialChunksMax - 1)
        #expect(space.initialSplits(shardCount: 2).first?.document == ["x": .int64(0), "y": .minKey])
        #expect(try self.space(HashedShardKeys(), ["y": 1, "x": "hashed"]).initialSplits(shardCount: 9).isEmpty)
    }

    @Test("zones of a prefix are cut into equal parts of its hashes at once")
    func zonedSplits() throws {
        let space = try space(ZonedShardKeys(), ["region": 1, "user": "hashed"])
        let eu = InitialChunkRequest.Zone(
            name: "EU", min: ["region": "eu", "user": .minKey], max: ["region": "eu", "user": .maxKey], shardCount: 2)
        let partial = InitialChunkRequest.Zone(
            name: "US", min: ["region": "us", "user": 5], max: ["region": "us", "user": .maxKey], shardCount: 2)
        #expect(
            space.initialSplits(shardCount: 4, zones: [eu, partial]).map(\.document)
                == [["region": "eu", "user": .int64(0)]])
        #expect(failure { _ = try self.space(ZonedShardKeys(), ["user": "hashed"]) }?.code == .badValue)
    }

    // MARK: Documents

    @Test("a missing field is null, and an array on the path, at its end or inside is refused")
    func extraction() throws {
        for strategy in [RangedShardKeys(), MongoDBShardKeys()] as [any ShardKeyStrategy] {
            let space = try space(strategy, ["a.b": 1])
            #expect(try position(space, [:]) == position(space, ["a": ["b": .null]]))
            #expect(try position(space, ["a": 5]) == position(space, [:]))
            for bad: Document in [
                ["a": [1]], ["a": ["b": [1, 2]]], ["a": [["b": 1]]], ["a": ["b": ["c": ["d": []]]]],
            ] {
                let error = failure { _ = try position(space, bad) }
                #expect(error?.code == .shardKeyNotFound)
                #expect(error?.message.contains("a.b") == true)
            }
        }
    }

    @Test("positions of ordered fields compare as the values do, field by field")
    func order() throws {
        let space = try space(RangedShardKeys(), ["a": 1, "b": 1])
        let ascending: [Document] = [
            ["a": .minKey], ["b": 1], ["a": .null, "b": 2], ["a": -1.5, "b": "z"], ["a": 1, "b": .null],
            ["a": 1.0, "b": 0], ["a": 2, "b": -7], ["a": "", "b": 1], ["a": "a", "b": 1], ["a": "ab", "b": 0],
            ["a": .maxKey],
        ]
        let positions = try ascending.map { try position(space, $0) }
        #expect(zip(positions, positions.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
        #expect(try space.range(space.lowest, space.highest) == .all)
    }

    // MARK: Patterns and bounds

    @Test("a pattern that is no shard key is refused with the field's name")
    func patterns() {
        let bad: [Document] = [
            [:], ["a": -1], ["a": 2], ["a": "text"], ["a": true], ["a": "hashed", "b": "hashed"], ["a..b": 1],
            ["$a": 1], ["": 1], Document { for _ in 0..<2 { $0.append("a", .int32(1)) } },
            Document { for field in 0..<40 { $0.append("f\(field)", .int32(1)) } },
            ["a": .document([:])], ["a": .null],
        ]
        for pattern in bad {
            #expect(failure { _ = try self.space(MongoDBShardKeys(), pattern) }?.code == .badValue, "\(pattern.keys)")
        }
        #expect(failure { _ = try self.space(RangedShardKeys(), ["a": "hashed"]) }?.message.contains("'a'") == true)
        #expect(failure { _ = try self.space(HashedShardKeys(), ["a": 1]) }?.code == .badValue)
    }

    @Test("a bound that does not fit the key is refused, and one of the first fields is filled up")
    func bounds() throws {
        let space = try space(HashedShardKeys(), ["a": 1, "b": "hashed"])
        for bad: Document in [[:], ["a": 1], ["b": 1, "a": 1], ["a": 1, "b": "x"], ["a": 1, "b": 1, "c": 1]] {
            #expect(failure { _ = try space.bound(bad) }?.code == .badValue)
        }
        #expect(try space.bound(extending: ["a": 1]).document == ["a": 1, "b": .minKey])
        #expect(try space.bound(extending: ["a": .maxKey]).document == space.highest)
        #expect(failure { _ = try space.bound(extending: ["b": 1]) }?.code == .badValue)
        #expect(failure { _ = try space.bound(extending: [:]) }?.code == .badValue)
        #expect(failure { _ = try space.range(["a": 2, "b": 0], ["a": 1, "b": 0]) }?.code == .badValue)
        #expect(failure { _ = try space.range(space.lowest, space.lowest) }?.code == .badValue)
    }

    @Test("a filter is looked for in as few ranges as its bounds allow")
    func targeting() throws {
        let ranged = try space(RangedShardKeys(), ["a": 1, "b": 1])
        #expect(try ranged.ranges([.all, .points([1])]) == [.all])
        #expect(try ranged.ranges([.points([1, 3]), .all]).count == 2)
        #expect(try ranged.ranges([.points([1, 3]), .points([1, 2])]).count == 4)
        #expect(try ranged.ranges([.points([]), .all]) == [])
        #expect(try ranged.ranges([.points([1, 1.0]), .all]).count == 1)
        let many = ShardKeyBounds.points((0..<5000).map { .int32(Int32($0)) })
        #expect(try ranged.ranges([many, .all]).count == 5000)
        #expect(try ranged.ranges([many, .points([1, 2])]).count == 5000)
        let hashed = try space(HashedShardKeys(), ["a": "hashed"])
        #expect(try hashed.ranges([.points([1])]).count == 1)
        #expect(try hashed.ranges([ShardKeyBounds([.init(1, 2)])]) == [.all])
        #expect(hashed.supportingIndex == ["a": "hashed"])
        #expect(try space(XXHashShardKeys(), ["a": "hashed"]).supportingIndex == nil)
    }

    @Test("a strategy whose hash function has changed has another fingerprint")
    func fingerprints() throws {
        let patterns: [(any ShardKeyStrategy, Document)] = [
            (HashedShardKeys(), ["a": "hashed"]), (XXHashShardKeys(), ["a": "hashed"]), (RangedShardKeys(), ["a": 1]),
            (HostileShardKeyStrategy(.heap), ["a": 1]), (HostileShardKeyStrategy(.backwards), ["a": 1]),
        ]
        let prints = try patterns.map { try space($0.0, $0.1).fingerprint() }
        #expect(Set(prints).count == prints.count)
        #expect(prints == (try patterns.map { try space($0.0, $0.1).fingerprint() }))
    }
}
