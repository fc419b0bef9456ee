import BSON
import Core
import Sharding
import Testing

/// The table that routers look keys up in, against a plain list of chunks.
@Suite struct RoutingTableTests {
    static let epoch = Epoch(Timestamp(seconds: 10, increment: 1))
    static let namespace = Namespace("shop", "orders")
    static func key(_ number: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(number).bigEndian) { [UInt8]($0) } }
    static func version(_ major: UInt32, _ minor: UInt32 = 0) -> PlacementVersion {
        PlacementVersion(epoch, major: major, minor: minor)
    }
    static func shard(_ number: Int) -> ShardID { ShardID("s\(number)") }

    /// Chunks of ten numbers each, dealt out to shards.
    static func chunks(_ count: Int, shards: Int = 3) -> [Chunk] {
        (0..<count).map { index in
            Chunk(
                KeyRange(
                    lower: index == 0 ? [] : key(index * 10), upper: index + 1 == count ? nil : key(index * 10 + 10)),
                on: shard(index % shards), version(1),
                history: [Ownership(validAfter: Timestamp(seconds: 10, increment: 1), shard: shard(index % shards))])
        }
    }
    static func majors(_ shards: Int = 3, _ major: UInt32 = 1) -> [ShardID: UInt32] {
        Dictionary(uniqueKeysWithValues: (0..<shards).map { (shard($0), major) })
    }
    static func table(_ count: Int, shards: Int = 3) throws -> RoutingTable {
        try RoutingTable(namespace, chunks: chunks(count, shards: shards), majors: majors(shards))
    }
    private func failure(_ body: () throws -> Void) -> ServerError? {
        do { try body() } catch let error as ServerError { return error } catch {}
        return nil
    }

    @Test("a key's owner is found as in the list of chunks", arguments: [1, 2, 3, 7, 1000])
    func owners(count: Int) throws {
        let table = try Self.table(count)
        let list = Self.chunks(count)
        #expect(table.chunks == list)
        for number in stride(from: 0, through: count * 10 + 20, by: 3) {
            let key = Self.key(number)
            let expected = list.first { $0.range.contains(key) }?.shard
            #expect(key.withUnsafeBytes { table.owner(of: $0) } == expected)
        }
        // Keys of other lengths: prefixes of bounds, and longer ones.
        for key in [[], [0], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF], Self.key(10) + [0], Self.key(20).dropLast()] as [[UInt8]] {
            let expected = list.first { $0.range.contains(key) }?.shard
            #expect(key.withUnsafeBytes { table.owner(of: $0) } == expected)
        }
    }

    @Test("keys that begin as bounds do, or as all of them do, are found all the same", arguments: [true, false])
    func longKeys(haveCommonBeginning: Bool) throws {
        let long = [UInt8](repeating: 7, count: 8)
        let start: [UInt8] = haveCommonBeginning ? long + [7, 7, 7, 7] : [8]
        let bounds: [[UInt8]] = [
            [], Array(long.prefix(haveCommonBeginning ? 8 : 5)), long + [0], long + [1, 2], long + [1, 2, 0],
            long + [1, 2, 0, 7, 7, 7, 7, 7, 7, 7, 7], long + [1, 2, 0, 7, 7, 7, 7, 7, 7, 7, 7, 1], start,
        ]
        let list = bounds.indices.map { index in
            Chunk(
                KeyRange(lower: bounds[index], upper: index + 1 < bounds.count ? bounds[index + 1] : nil),
                on: Self.shard(index), Self.version(1))
        }
        let table = try RoutingTable(Self.namespace, chunks: list.reversed(), majors: Self.majors(bounds.count))
        let others: [[UInt8]] = [
            [6], [7], [9], long.dropLast() + [6, 200], long.dropLast() + [9], Array(long.prefix(6)),
        ]
        for key in bounds + bounds.map({ $0 + [0] }) + bounds.map({ $0 + [9] }) + others {
            #expect(key.withUnsafeBytes { table.owner(of: $0) } == list.first { $0.range.contains(key) }?.shard)
        }
    }

    @Test("a placement with a gap, an overlap, two incarnations or an unknown shard is refused, and the place named")
    func validation() {
        func message(_ change: (inout [Chunk]) -> Void) -> String? {
            var list = Self.chunks(5)
            change(&list)
            let error = failure { _ = try RoutingTable(Self.namespace, chunks: list, majors: Self.majors()) }
            #expect(error.map { $0.code == .incompatibleShardingMetadata } ?? true)
            return error?.message
        }
        #expect(message { _ in } == nil)
        #expect(message { $0.remove(at: 2) }?.contains("no chunk between 0x00000014 and 0x0000001e") == true)
        #expect(message { $0.remove(at: 0) }?.contains("begins at 0x0000000a") == true)
        #expect(message { $0.removeLast() }?.contains("between 0x00000028 and the end") == true)
        #expect(
            message { $0[1].range = KeyRange(lower: Self.key(10), upper: Self.key(25)) }?
                .contains("two chunks with the same keys") == true)
        #expect(message { $0.append($0[3]) }?.contains("two chunks with the same keys") == true)
        #expect(message { $0.removeAll() }?.contains("no chunks") == true)
        #expect(
            message {
                $0[2].version = PlacementVersion(Epoch(Timestamp(seconds: 11, increment: 1)), major: 1, minor: 0)
            }?
            .contains("two incarnations") == true)
        #expect(message { $0[2].shard = ShardID("nobody") }?.contains("nobody") == true)
        #expect(
            message { $0[2].history = [Ownership(validAfter: .zero, shard: Self.shard(0))] }?
                .contains("history names another owner") == true)
    }

    @Test(
        "after random moves, splits and merges, a refresh gives the same table as reading everything anew",
        arguments: 1...20 as ClosedRange<UInt64>)
    func refresh(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var truth = try Self.table(1 + generator.below(40))
        var majors = Self.majors()
        var reader = truth
        for round in 0..<60 {
            truth = try truth.applying(try change(of: truth, round, &generator, &majors))
            let whole = try RoutingTable(Self.namespace, chunks: truth.chunks, majors: majors)
            #expect(whole.chunks == truth.chunks)
            // A reader that asks now and then, at or behind the version that it has.
            if generator.oneIn(4) {
                let known = reader.version
                let changed = truth.chunks.filter { !known.isBehind($0.version) }
                reader = try reader.refreshed(changed.shuffled(using: &generator), majors: majors)
                #expect(reader.chunks == truth.chunks)
                for shard in truth.shards { #expect(reader.version(of: shard) == truth.version(of: shard)) }
            }
        }
    }

    private func change(
        of table: RoutingTable, _ round: Int, _ generator: inout SplitMix64, _ majors: inout [ShardID: UInt32]
    ) throws -> ChunkChange {
        let index = generator.below(table.count)
        let range = table.range(index)
        switch generator.below(3) {
        case 0:
            let point = range.lower + [UInt8(generator.below(200)) + 1]
            guard KeyRange.ends(point, before: range.upper) else { break }
            return try table.split(index, at: [point])
        case 1 where index + 1 < table.count && table[index].shard == table[index + 1].shard:
            return try table.merge(
                KeyRange(lower: range.lower, upper: table.range(index + 1).upper), oldestRead: .max)
        default: break
        }
        let donor = table[index].shard
        let others = (0..<4).map(Self.shard).filter { $0 != donor }
        let change = try table.move(
            range, from: donor, to: others[generator.below(3)],
            validAfter: Timestamp(seconds: 100 + UInt32(round), increment: 1))
        for (shard, major) in change.majors { majors[shard] = major }
        return change
    }

    @Test("a refresh that skips a chunk of an equal major is noticed, and one of another incarnation refused")
    func badRefresh() throws {
        let table = try Self.table(6)
        let change = try table.move(
            KeyRange(lower: Self.key(12), upper: Self.key(15)), from: Self.shard(1), to: Self.shard(2),
            validAfter: Timestamp(seconds: 50, increment: 1))
        #expect(change.added.count == 3)
        #expect(change.majors == [Self.shard(1): 2, Self.shard(2): 2])
        for missing in change.added.indices {
            var part = change.added
            part.remove(at: missing)
            #expect(
                failure { _ = try table.refreshed(part, majors: change.majors) }?.code == .incompatibleShardingMetadata)
        }
        let moved = try table.applying(change)
        #expect(failure { _ = try moved.refreshed([table[1]]) }?.message.contains("older chunk") == true)
        var foreign = table[0]
        foreign.version = PlacementVersion(Epoch(Timestamp(seconds: 11, increment: 1)), major: 1, minor: 0)
        #expect(failure { _ = try table.refreshed([foreign]) }?.code == .staleEpoch)
    }

    @Test("a read at a time goes to the owner of that time, and to nobody when that is forgotten")
    func history() throws {
        var table = try Self.table(3)
        for (time, shard) in [(50, 2), (60, 0)] {
            table = try table.applying(
                try table.move(
                    table.range(1), from: table[1].shard, to: Self.shard(shard),
                    validAfter: Timestamp(seconds: UInt32(time), increment: 1)))
        }
        func owner(_ seconds: UInt32, _ increment: UInt32 = 1) throws -> ShardID {
            try Self.key(12).withUnsafeBytes {
                try table.owner(of: $0, at: Timestamp(seconds: seconds, increment: increment))
            }
        }
        #expect(try owner(49) == Self.shard(1))
        #expect(try owner(50, 0) == Self.shard(1))
        #expect(try owner(50) == Self.shard(2))
        #expect(try owner(59) == Self.shard(2))
        #expect(try owner(60) == Self.shard(0))
        #expect(try owner(1000) == Self.shard(0))
        #expect(failure { _ = try owner(5) }?.code == .staleChunkHistory)
        let past = try table.targets([.all], at: Timestamp(seconds: 55, increment: 1))
        #expect(past.map(\.shard) == [Self.shard(0), Self.shard(2)])
        #expect(past.last?.ranges == [KeyRange(lower: Self.key(10), upper: nil)])
    }

    @Test("a shard's version rises with moves that it takes part in, not with splits")
    func shardVersions() throws {
        var table = try Self.table(4)
        let before = table.version(of: Self.shard(0))
        table = try table.applying(try table.split(0, at: [Self.key(5)]))
        #expect(table.version(of: Self.shard(0)) == before)
        #expect(table.version == Self.version(1, 1))
        table = try table.applying(
            try table.move(table.range(2), from: Self.shard(1), to: Self.shard(2), validAfter: .max))
        #expect(table.version(of: Self.shard(0)) == before)
        #expect(table.version(of: Self.shard(1)) == Self.version(2))
        #expect(table.version(of: Self.shard(2)) == Self.version(2))
        #expect(table.version(of: Self.shard(9)) == .none(Self.epoch))
        // It has no chunk left, and still a version.
        #expect(!table.chunks.contains { $0.shard == Self.shard(1) })
    }

    @Test("ranges are found on the shards that own them, each with its part", arguments: 1...10 as ClosedRange<UInt64>)
    func targets(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let table = try Self.table(30, shards: 5)
        for _ in 0..<100 {
            let ranges = KeyRange.joined(
                (0..<(1 + generator.below(4))).map { _ in
                    let from = generator.below(320)
                    return KeyRange(
                        lower: generator.oneIn(5) ? [] : Self.key(from),
                        upper: generator.oneIn(5) ? nil : Self.key(from + generator.below(60)))
                })
            let targets = try table.targets(ranges)
            #expect(targets.map(\.shard) == table.shards(for: ranges))
            for number in 0..<330 {
                let key = Self.key(number)
                let expected = ranges.contains { $0.contains(key) } ? key.withUnsafeBytes { table.owner(of: $0) } : nil
                #expect(targets.first { $0.ranges.contains { $0.contains(key) } }?.shard == expected)
            }
        }
    }
}
