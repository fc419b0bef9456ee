import BSON
import Core
import Sharding
import Testing

/// Splits, merges and moves as changes of the chunk map, and what is refused.
@Suite struct ChunkChangeTests {
    private typealias Sample = RoutingTableTests
    private let time = Timestamp(seconds: 50, increment: 1)

    private func code(_ body: () throws -> Void) -> ErrorCode? {
        do { try body() } catch let error as ServerError { return error.code } catch {}
        return nil
    }

    @Test("a chunk is split inside only, and its shard's history goes to all parts")
    func split() throws {
        let table = try Sample.table(3)
        let change = try table.split(1, at: [Sample.key(12), Sample.key(15)])
        #expect(change.added.map(\.range.lower) == [Sample.key(10), Sample.key(12), Sample.key(15)])
        #expect(change.added.allSatisfy { $0.version == Sample.version(1, 1) && $0.history == table[1].history })
        #expect(try table.applying(change).count == 5)
        for bad in [[], [10], [20], [5], [25], [15, 12], [12, 12]] {
            #expect(code { _ = try table.split(1, at: bad.map(Sample.key)) } == .cannotSplit)
        }
    }

    @Test("chunks are merged when they are whole, on one shard, not jumbo, and no read needs their former owners")
    func merge() throws {
        let table = try Sample.table(6, shards: 1)
        let range = KeyRange(lower: Sample.key(10), upper: Sample.key(40))
        let merged = try table.applying(try table.merge(range, oldestRead: time))
        #expect(merged.count == 4)
        #expect(merged.version(of: Sample.shard(0)) == table.version(of: Sample.shard(0)))
        for bad in [
            KeyRange(lower: Sample.key(11), upper: Sample.key(40)),
            KeyRange(lower: Sample.key(10), upper: Sample.key(35)),
            KeyRange(lower: Sample.key(10), upper: Sample.key(20)),
            KeyRange(lower: Sample.key(40), upper: Sample.key(10)),
        ] {
            #expect(code { _ = try table.merge(bad, oldestRead: time) } == .badValue)
        }
        #expect(code { _ = try Sample.table(6).merge(range, oldestRead: time) } == .illegalOperation)
        #expect(
            code { _ = try table.merge(range, oldestRead: Timestamp(seconds: 9, increment: 0)) } == .illegalOperation)
        var chunks = Sample.chunks(6, shards: 1)
        chunks[2].isJumbo = true
        let jumbo = try RoutingTable(Sample.namespace, chunks: chunks, majors: Sample.majors(1))
        #expect(jumbo.isJumbo(2) && !jumbo.isJumbo(1))
        #expect(code { _ = try jumbo.merge(range, oldestRead: time) } == .illegalOperation)
        #expect(code { try jumbo.checkMove(jumbo.range(2), to: Sample.shard(1)) } == .chunkTooBig)
        #expect(try jumbo.checkMove(jumbo.range(2), to: Sample.shard(1), forceJumbo: true) == 2)
    }

    @Test("a move takes part of one chunk, and only from its owner")
    func move() throws {
        let table = try Sample.table(3)
        let whole = try table.move(table.range(0), from: Sample.shard(0), to: Sample.shard(1), validAfter: time)
        #expect(whole.added.count == 1)
        #expect(whole.added[0].history.map(\.shard) == [Sample.shard(1), Sample.shard(0)])
        let part = try table.move(
            KeyRange(lower: Sample.key(25), upper: nil), from: Sample.shard(2), to: Sample.shard(0), validAfter: time)
        #expect(part.added.map(\.shard) == [Sample.shard(2), Sample.shard(0)])
        #expect(try table.applying(part).count == 4)
        for bad in [
            KeyRange(lower: Sample.key(12), upper: Sample.key(22)),
            KeyRange(lower: Sample.key(12), upper: Sample.key(12)),
            .all,
        ] {
            #expect(code { try table.checkMove(bad, to: Sample.shard(0)) } == .badValue)
        }
        let elsewhere = { (donor: Int, recipient: Int, time: Timestamp) in
            try table.move(
                table.range(1), from: Sample.shard(donor), to: Sample.shard(recipient), validAfter: time)
        }
        #expect(code { _ = try elsewhere(0, 2, time) } == .conflictingOperationInProgress)
        #expect(code { _ = try elsewhere(1, 1, time) } == .conflictingOperationInProgress)
        #expect(code { _ = try elsewhere(1, 2, .zero) } == .conflictingOperationInProgress)
    }

    @Test("a chunk is split at half the configured size, never inside one key, and is jumbo when it cannot be")
    func splitRules() {
        let range = KeyRange(lower: Sample.key(0), upper: Sample.key(1000))
        func verdict(_ sizes: [(Int, Int64)]) -> SplitRules.Verdict {
            SplitRules.verdict(range, sizes.map { (key: Sample.key($0.0), bytes: $0.1) }, chunkSize: 100)
        }
        #expect(verdict([]) == .leave)
        #expect(verdict((0..<50).map { ($0, 1) }) == .leave)
        #expect(verdict((0..<51).map { ($0, 1) }) == .split([Sample.key(50)]))
        #expect(verdict((0..<130).map { ($0, 1) }) == .split([Sample.key(50), Sample.key(100)]))
        #expect(verdict((0..<130).map { _ in (7, 1) }) == .jumbo)
        #expect(verdict((0..<90).map { _ in (7, 1) }) == .leave)
        #expect(verdict((0..<130).map { _ in (7, 1) } + [(9, 1)]) == .split([Sample.key(9)]))
        #expect(verdict([(1, .max), (2, .max), (3, -5)]) == .split([Sample.key(2), Sample.key(3)]))
    }

    @Test("zones do not overlap; a chunk over their borders is split there")
    func zones() throws {
        var zones = Zones(Sample.namespace)
        try zones.assign(ZoneRange(KeyRange(lower: Sample.key(10), upper: Sample.key(20)), zone: "a"))
        try zones.assign(ZoneRange(KeyRange(lower: Sample.key(30), upper: nil), zone: "b"))
        try zones.assign(ZoneRange(KeyRange(lower: Sample.key(10), upper: Sample.key(20)), zone: "a"))
        #expect(zones.ranges.count == 2)
        for (from, to, zone) in [
            (5, 11, "c"), (19, 25, "c"), (12, 15, "a"), (10, 20, "b"), (40, 50, "c"), (0, 99, "c"),
        ] {
            let range = KeyRange(lower: Sample.key(from), upper: Sample.key(to))
            #expect(code { try zones.assign(ZoneRange(range, zone: zone)) } == .rangeOverlapConflict)
        }
        let empty = KeyRange(lower: Sample.key(25), upper: Sample.key(25))
        #expect(code { try zones.assign(ZoneRange(empty, zone: "c")) } == .badValue)
        func place(_ from: Int, _ to: Int?) -> Zones.Place {
            zones.place(of: KeyRange(lower: Sample.key(from), upper: to.map(Sample.key)))
        }
        #expect(place(12, 15) == .inside("a"))
        #expect(place(10, 20) == .inside("a"))
        #expect(place(20, 30) == .outside)
        #expect(place(35, nil) == .inside("b"))
        #expect(place(5, 25) == .across([Sample.key(10), Sample.key(20)]))
        #expect(place(15, 35) == .across([Sample.key(20), Sample.key(30)]))
        #expect(zones.borders == [10, 20, 30].map(Sample.key))
        zones.remove(KeyRange(lower: Sample.key(10), upper: Sample.key(21)))
        #expect(zones.ranges.count == 2)
        zones.remove(KeyRange(lower: Sample.key(10), upper: Sample.key(20)))
        #expect(zones.ranges.map(\.zone) == ["b"])
    }

    @Test("the last shard of a zone that has ranges stays in it")
    func membership() throws {
        var shards = ZoneMembership([Sample.shard(0): ["a"], Sample.shard(1): []])
        #expect(code { try shards.require("b") } == .zoneNotFound)
        #expect(code { try shards.remove(Sample.shard(0), from: "a", inUse: true) } == .zoneStillInUse)
        #expect(code { try shards.add(ShardID("none"), to: "a") } == .shardNotFound)
        try shards.add(Sample.shard(1), to: "a")
        try shards.remove(Sample.shard(0), from: "a", inUse: true)
        #expect(shards.shards(of: "a") == [Sample.shard(1)])
        try shards.remove(Sample.shard(1), from: "a", inUse: false)
        #expect(shards.shards(of: "a") == [])
    }
}
