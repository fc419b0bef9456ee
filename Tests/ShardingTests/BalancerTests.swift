import BSON
import Core
import Sharding
import Testing

/// What the balancer decides, over many drawn clusters.
@Suite struct BalancerTests {
    private static let chunkSize: Int64 = 100

    /// A cluster that was drawn: shards with zones, collections with chunks anywhere.
    private struct Cluster {
        var shards: [BalancerShard]
        var loads: [CollectionLoad]

        init(_ generator: inout SplitMix64, shards count: Int, draining: Bool = false, zones: [String] = []) {
            shards = (0..<count).map { index in
                let own = zones.filter { _ in generator.oneIn(2) }
                return BalancerShard(
                    ShardID("s\(index)"), zones: Set(own), isDraining: draining && index > 1 && generator.oneIn(4))
            }
            let shards = count
            loads = (0..<(1 + generator.below(3))).map { number in
                let heap = generator.below(shards)
                let isHeap = generator.oneIn(2)
                let parts = (0..<generator.below(400)).map { _ in
                    CollectionLoad.Part(
                        shard: isHeap ? heap : generator.below(shards),
                        zone: zones.isEmpty || generator.oneIn(2) ? nil : generator.below(zones.count),
                        bytes: Int64(generator.below(Int(BalancerTests.chunkSize)) + 1), isJumbo: generator.oneIn(30))
                }
                return CollectionLoad(
                    Namespace("d", "c\(number)"), chunkSize: BalancerTests.chunkSize, zones: zones, parts: parts,
                    shardCount: shards)
            }
        }

        /// Whether a shard may have a chunk.
        func mayHave(_ shard: Int, _ part: CollectionLoad.Part, _ load: CollectionLoad) -> Bool {
            part.zone.map { shards[shard].zones.contains(load.zones[$0]) } ?? true
        }
    }

    /// Checks the moves of one round, and makes them.
    private func carryOut(_ round: Balancer.Round, _ cluster: inout Cluster) {
        var used = Set<Int>()
        for move in round.moves {
            let load = cluster.loads[move.collection]
            let part = load.parts[move.chunk]
            #expect(used.insert(move.donor).inserted && used.insert(move.recipient).inserted, "a shard in two moves")
            #expect(!part.isJumbo, "a jumbo chunk")
            #expect(part.shard == move.donor)
            #expect(!cluster.shards[move.recipient].isDraining, "into a shard that is to be removed")
            #expect(cluster.mayHave(move.recipient, part, load), "out of its zone")
            if move.reason == .imbalance {
                #expect(load.bytes[move.donor] - load.bytes[move.recipient] > part.bytes, "the two change places")
                #expect(load.bytes[move.donor] - load.bytes[move.recipient] > Self.chunkSize)
            }
            cluster.loads[move.collection].move(move.chunk, to: move.recipient)
        }
        for load in cluster.loads {
            for shard in cluster.shards.indices {
                #expect(load.bytes[shard] == load.parts.filter { $0.shard == shard }.reduce(0) { $0 + $1.bytes })
            }
        }
    }

    @Test(
        "it ends with nothing on a draining shard or in a wrong zone that could leave, and sizes that are even",
        arguments: 1...40 as ClosedRange<UInt64>)
    func converges(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let zones = seed.isMultiple(of: 2) ? ["eu", "us"] : []
        var cluster = Cluster(
            &generator, shards: 2 + generator.below(6), draining: seed.isMultiple(of: 3), zones: zones)
        var balancer = Balancer()
        var rounds = 0
        while true {
            let round = balancer.decide(cluster.shards, cluster.loads)
            carryOut(round, &cluster)
            rounds += 1
            if round.isBalanced { break }
            guard rounds < 5000 else {
                Issue.record("no end after \(rounds) rounds")
                return
            }
        }
        for load in cluster.loads {
            for part in load.parts where !part.isJumbo {
                let possible = cluster.shards.indices.filter {
                    !cluster.shards[$0].isDraining && cluster.mayHave($0, part, load)
                }
                #expect(possible.isEmpty || possible.contains(part.shard), "a chunk that could be where it belongs")
            }
            // Without zones and jumbo chunks in the way, sizes are even.
            guard zones.isEmpty, !load.parts.contains(where: \.isJumbo) else { continue }
            let sizes = cluster.shards.indices.filter { !cluster.shards[$0].isDraining }.map { load.bytes[$0] }
            let spread = (sizes.max() ?? 0) - (sizes.min() ?? 0)
            #expect(spread <= Balancer.thresholdChunks * Self.chunkSize)
        }
    }

    @Test("from everything on one shard a collection is brought to within one chunk of even", arguments: [2, 3, 10])
    func fromOneShard(shards count: Int) {
        let shards = (0..<count).map { BalancerShard(ShardID("s\($0)")) }
        var generator = SplitMix64(seed: 3)
        let parts = (0..<500).map { _ in
            CollectionLoad.Part(shard: 1, bytes: 50 + Int64(generator.below(51)))
        }
        var load = CollectionLoad(Namespace("d", "c"), chunkSize: 100, parts: parts, shardCount: count)
        var balancer = Balancer()
        var rounds = 0
        while case let round = balancer.decide(shards, [load]), !round.isBalanced, rounds < 2000 {
            for move in round.moves { load.move(move.chunk, to: move.recipient) }
            rounds += 1
        }
        let mean = load.bytes.reduce(0, +) / Int64(count)
        #expect(load.bytes.allSatisfy { ($0 - mean).magnitude <= 100 })
        // One move a round for the one shard that has too much.
        #expect(rounds <= 500)
        #expect(balancer.underWay.isEmpty)
    }

    @Test("a difference of less than three chunks is let be, and a collection that was left out too")
    func threshold() {
        let shards = [BalancerShard(ShardID("a")), BalancerShard(ShardID("b"))]
        func decide(_ chunks: Int, balanced: Bool = true, mayMove: Bool = true) -> Balancer.Round {
            let parts = (0..<chunks).map { _ in CollectionLoad.Part(shard: 0, bytes: 100) }
            var balancer = Balancer()
            return balancer.decide(
                shards,
                [
                    CollectionLoad(
                        Namespace("d", "c"), chunkSize: 100, isBalanced: balanced, parts: parts, shardCount: 2)
                ], mayMove: mayMove)
        }
        #expect(decide(3).isBalanced)
        #expect(decide(4).moves.map(\.reason) == [.imbalance])
        #expect(decide(4, balanced: false).isBalanced)
        #expect(decide(4, mayMove: false).isBalanced)
    }

    @Test(
        "a shard that is to be removed is emptied first, of all collections, but for jumbo chunks"
    )
    func draining() {
        let shards = [
            BalancerShard(ShardID("a"), isDraining: true), BalancerShard(ShardID("b")), BalancerShard(ShardID("c")),
        ]
        let parts =
            [CollectionLoad.Part(shard: 0, bytes: 5), .init(shard: 0, bytes: 5, isJumbo: true)]
            + (0..<20).map { _ in CollectionLoad.Part(shard: 1, bytes: 100) }
        var load = CollectionLoad(Namespace("d", "c"), chunkSize: 100, isBalanced: false, parts: parts, shardCount: 3)
        var balancer = Balancer()
        let round = balancer.decide(shards, [load])
        #expect(round.moves.map(\.reason) == [.draining])
        #expect(round.moves.map(\.recipient) == [2])
        #expect(round.stuck == [.jumbo(collection: 0, shard: 0, count: 1)])
        load.move(round.moves[0].chunk, to: 2)
        #expect(balancer.decide(shards, [load]).isBalanced)
    }

    @Test("a zone without a shard is told of, and its chunks stay")
    func noShardForZone() {
        let shards = [BalancerShard(ShardID("a")), BalancerShard(ShardID("b"), zones: ["us"])]
        let parts = [CollectionLoad.Part(shard: 0, zone: 0, bytes: 9), .init(shard: 0, zone: 1, bytes: 9)]
        let load = CollectionLoad(
            Namespace("d", "c"), chunkSize: 100, zones: ["eu", "us"], parts: parts, shardCount: 2)
        var balancer = Balancer()
        let round = balancer.decide(shards, [load])
        #expect(round.stuck == [.nowhere(collection: 0, zone: "eu")])
        #expect(round.moves.map(\.chunk) == [1] && round.moves[0].reason == .zoneViolation)
    }

    @Test("several collections take turns when they want the same shards")
    func fairness() {
        let shards = [BalancerShard(ShardID("a")), BalancerShard(ShardID("b"))]
        var loads = (0..<3).map { number in
            CollectionLoad(
                Namespace("d", "c\(number)"), chunkSize: 100,
                parts: (0..<20).map { _ in CollectionLoad.Part(shard: 0, bytes: 100) }, shardCount: 2)
        }
        var balancer = Balancer()
        var moved = [0, 0, 0]
        for _ in 0..<9 {
            for move in balancer.decide(shards, loads).moves {
                moved[move.collection] += 1
                loads[move.collection].move(move.chunk, to: move.recipient)
            }
        }
        #expect(moved == [3, 3, 3])
    }

    // MARK: Settings

    @Test("settings are read as MongoDB's clients write them, and what cannot be is refused")
    func settings() throws {
        let settings = try BalancerSettings([
            ["_id": "chunksize", "value": 64], ["_id": "ReadWriteConcernDefaults", "value": 1],
            ["_id": "balancer", "stopped": false, "mode": "full", "activeWindow": ["start": "23:00", "stop": "6:30"]],
        ])
        #expect(settings.chunkSize == 64 << 20)
        #expect(settings.isActive(minuteOfDay: 23 * 60) && settings.isActive(minuteOfDay: 6 * 60 + 29))
        #expect(!settings.isActive(minuteOfDay: 6 * 60 + 30) && !settings.isActive(minuteOfDay: 12 * 60))
        #expect(try BalancerSettings([["_id": "balancer", "mode": "off"]]).isActive(minuteOfDay: 1) == false)
        #expect(try BalancerSettings([["_id": "balancer", "stopped": true]]).isActive(minuteOfDay: 1) == false)
        let day = try BalancerSettings.Window(start: "8:00", stop: "20:00")
        #expect(day.contains(minute: 480) && !day.contains(minute: 1200))
        for bad: [Document] in [
            [["_id": "chunksize", "value": 0]], [["_id": "chunksize", "value": 1025]], [["_id": "chunksize"]],
            [["_id": "chunksize", "value": "64"]], [["_id": "balancer", "stopped": 1]],
            [["_id": "balancer", "mode": "sometimes"]],
            [["_id": "balancer", "activeWindow": ["start": "24:00", "stop": "1:00"]]],
            [["_id": "balancer", "activeWindow": ["start": "1:00", "stop": "1:00"]]],
            [["_id": "balancer", "activeWindow": ["start": "-1:00", "stop": "1:00"]]],
            [["_id": "balancer", "activeWindow": [:]]],
        ] {
            #expect(throws: ServerError.self) { try BalancerSettings(bad) }
        }
    }
}
