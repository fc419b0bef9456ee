internal import BSON
internal import Core
internal import Sharding
internal import ShardKeyStrategies

/// What the balancer makes of clusters whose data was loaded before it began, by strategy and workload, while writes go
/// on: in rounds of virtual time, on chunks that are sizes and positions only.
///
/// A document has a region, a user and a time. The data set is as many sampled documents as there are to be chunks:
/// each stands for one chunk of data at its position, and those of one position are one chunk, which is jumbo when it
/// is too large. Where the strategy cuts an empty collection decides which shard each was loaded on.
public enum BalancerExperiment {
    /// What documents are like.
    public enum Workload: String, CaseIterable, Sendable {
        /// Users and times of any value.
        case uniform
        /// Times that only grow.
        case growing
        /// Few users write nearly everything (Zipf).
        case skewed
    }

    /// How a collection is sharded.
    public struct Sharding: Sendable {
        /// For the table.
        public let name: String
        let strategy: any ShardKeyStrategy
        let pattern: Document
        /// Whether regions are zones.
        let hasZones: Bool
    }

    /// What is compared.
    public static let shardings = [
        Sharding(
            name: "ranged user, time", strategy: RangedShardKeys(), pattern: ["user": 1, "time": 1], hasZones: false),
        Sharding(name: "ranged time", strategy: RangedShardKeys(), pattern: ["time": 1], hasZones: false),
        Sharding(name: "hashed user", strategy: HashedShardKeys(), pattern: ["user": "hashed"], hasZones: false),
        Sharding(name: "hashed time", strategy: HashedShardKeys(), pattern: ["time": "hashed"], hasZones: false),
        Sharding(name: "xxhash time", strategy: XXHashShardKeys(), pattern: ["time": "hashed"], hasZones: false),
        Sharding(
            name: "zoned region, time", strategy: ZonedShardKeys(), pattern: ["region": 1, "time": "hashed"],
            hasZones: true),
    ]

    /// The head of the table.
    public static let header =
        "strategy, key          workload  chunks   jumbo  max/mean: before  after  rounds   hours   moved GB  targeted"

    private static let chunkSize: Int64 = 128 << 20
    private static let loadedBytes: Int64 = 48 << 20
    private static let insertBytes: Int64 = 4 << 20
    private static let insertsPerRound = 3
    private static let regions = 10
    private static let roundsMax = 3_000_000
    /// A move's speed, and what a round takes beside its longest move.
    private static let bytesPerSecond: Int64 = 64 << 20
    private static let pauseSeconds = 1.0

    /// Runs one sharding under one workload.
    /// - Returns: a line of the table.
    public static func run(
        _ sharding: Sharding, _ workload: Workload, shards: Int, chunks: Int, seed: UInt64
    ) throws -> String {
        var cluster = try Cluster(sharding, workload, shards: shards, chunks: chunks, seed: seed)
        let before = cluster.largestOverMean
        var balancer = Balancer()
        var rounds = 0
        var moved: Int64 = 0
        var seconds = 0.0
        while rounds < roundsMax {
            let round = balancer.decide(cluster.shards, [cluster.load])
            if round.isBalanced { break }
            var longest: Int64 = 0
            for move in round.moves {
                let bytes = cluster.load.parts[move.chunk].bytes
                moved += bytes
                longest = max(longest, bytes)
                cluster.load.move(move.chunk, to: move.recipient)
            }
            seconds += pauseSeconds + Double(longest) / Double(bytesPerSecond)
            rounds += 1
            for _ in 0..<insertsPerRound { try cluster.insert() }
        }
        let targeted = try cluster.shareOfTargetedQueries()
        let cells = [
            sharding.name.padded(23), workload.rawValue.padded(10), "\(cluster.load.parts.count)".padded(9),
            "\(cluster.load.jumboCount.reduce(0, +))".padded(7), before.padded(18),
            cluster.largestOverMean.padded(7), (rounds < roundsMax ? "\(rounds)" : "no end").padded(9),
            decimal(seconds / 3600).padded(8), "\(moved >> 30)".padded(10), "\(targeted) %",
        ]
        return cells.joined()
    }

    private static func decimal(_ number: Double) -> String {
        let hundredths = Int((number * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    /// A cluster with its data and its clients.
    private struct Cluster {
        let shards: [BalancerShard]
        let space: ShardKeySpace
        let workload: Workload
        /// The lower bounds of chunks that were loaded, ascending.
        var bounds: [[UInt8]] = []
        var load: CollectionLoad
        var generator: SplitMix64
        /// The time that the next document of a growing workload has.
        var time: Int64
        let users: Int

        init(_ sharding: Sharding, _ workload: Workload, shards count: Int, chunks: Int, seed: UInt64) throws {
            generator = SplitMix64(seed: seed)
            self.workload = workload
            users = chunks * 10
            time = 0
            space = try ShardKeySpace(sharding.strategy, pattern: sharding.pattern)
            let zones = sharding.hasZones ? (0..<BalancerExperiment.regions).map { "r\($0)" } : []
            shards = (0..<count).map { index in
                let own = zones.isEmpty ? [] : ["r\(index * BalancerExperiment.regions / count)"]
                return BalancerShard(ShardID("s\(index)"), zones: Set(own))
            }
            load = CollectionLoad(
                Namespace("d", "c"), chunkSize: BalancerExperiment.chunkSize, parts: [], shardCount: count)
            var positions: [[UInt8]] = []
            positions.reserveCapacity(chunks)
            for _ in 0..<chunks {
                let document = draw(grows: false)
                positions.append(try document.withView { try space.position(of: $0) })
            }
            time = Int64(chunks) << 20
            positions.sort { $0.lexicographicallyPrecedes($1) }
            deal(positions, zones: zones)
        }

        /// Makes chunks of the sampled positions, on the shards that the first chunks of the empty collection were on.
        private mutating func deal(_ positions: [[UInt8]], zones: [String]) {
            let requests = zones.enumerated().map { index, zone in
                InitialChunkRequest.Zone(
                    name: zone, min: ["region": .string(zone), "time": .minKey],
                    max: ["region": .string(zone), "time": .maxKey],
                    shardCount: shards.filter { $0.zones.contains(zone) }.count)
            }
            let splits = space.initialSplits(shardCount: shards.count, zones: requests).map(\.key)
            var parts: [CollectionLoad.Part] = []
            var at = 0
            var range = 0
            while at < positions.count {
                var next = at + 1
                while next < positions.count, positions[next] == positions[at] { next += 1 }
                while range < splits.count, !positions[at].lexicographicallyPrecedes(splits[range]) { range += 1 }
                let zone = zones.firstIndex { region in positions[at].starts(with: Cluster.prefix(region)) }
                let possible = shards.indices.filter { shard in
                    zone.map { shards[shard].zones.contains(zones[$0]) } ?? true
                }
                let bytes = BalancerExperiment.loadedBytes * Int64(next - at)
                bounds.append(positions[at])
                parts.append(
                    CollectionLoad.Part(
                        shard: possible[range % max(possible.count, 1)], zone: zone, bytes: bytes,
                        isJumbo: bytes > BalancerExperiment.chunkSize))
                at = next
            }
            load = CollectionLoad(
                Namespace("d", "c"), chunkSize: BalancerExperiment.chunkSize, zones: zones, parts: parts,
                shardCount: shards.count)
        }

        private static func prefix(_ region: String) -> [UInt8] {
            let buffer = ByteBuffer(capacity: 16)
            Document { $0.append("", .string(region)) }.withView { view in
                if let value = view.first?.value { IndexKey.append(value, to: buffer) }
            }
            return buffer.toArray()
        }

        // MARK: Clients

        private mutating func user() -> Int64 {
            guard workload == .skewed else { return Int64(generator.below(users)) }
            // By inversion of the continuous law with exponent one: each power of two of users has as many documents.
            var rank = 1.0
            for _ in 0..<20 where generator.oneIn(2) { rank *= 2 }
            return Int64(rank) + Int64(generator.below(max(Int(rank), 1)))
        }

        private mutating func draw(grows: Bool) -> Document {
            if workload == .growing, grows { time += 1 + Int64(generator.below(1 << 10)) }
            let moment =
                workload == .growing && grows ? time : Int64(generator.below(max(load.parts.count, 1_000_000))) << 20
            let user = user()
            return [
                "region": .string("r\(generator.below(BalancerExperiment.regions))"), "user": .int64(user),
                "time": .int64(moment + Int64(generator.below(1 << 20))),
            ]
        }

        /// A client writes; a chunk that has become too large is split.
        mutating func insert() throws {
            let document = draw(grows: true)
            let chunk = index(of: try document.withView { try space.position(of: $0) })
            guard !load.parts[chunk].isJumbo else { return }
            load.resize(chunk, to: load.parts[chunk].bytes + BalancerExperiment.insertBytes)
            if load.parts[chunk].bytes > SplitRules.bytesMax(chunkSize: BalancerExperiment.chunkSize) {
                load.split(chunk)
            }
        }

        private func index(of key: [UInt8]) -> Int {
            var low = 0
            var high = bounds.count
            while high - low > 1 {
                let middle = (low + high) / 2
                if key.lexicographicallyPrecedes(bounds[middle]) { high = middle } else { low = middle }
            }
            return low
        }

        /// Of the questions that are asked in turn, in percent: those that one shard can answer.
        mutating func shareOfTargetedQueries() throws -> Int {
            let rounds = 250
            var targeted = 0
            for _ in 0..<rounds {
                let document = draw(grows: false)
                let user = document["user"] ?? .null
                let time = document["time"]?.asInteger ?? 0
                let hour = ShardKeyBounds([.init(.int64(time), .int64(time + (1 << 18)))])
                let region = ShardKeyBounds.points([document["region"] ?? .null])
                let questions: [[String: ShardKeyBounds]] = [
                    ["user": .points([user])], ["user": .points([user]), "time": hour], ["time": hour],
                    ["time": .points([.int64(time)]), "region": region],
                ]
                for question in questions {
                    let bounds = space.pattern.fields.map { question[$0.path] ?? .all }
                    if isOnOneShard(try space.ranges(bounds)) { targeted += 1 }
                }
            }
            return targeted * 100 / (rounds * 4)
        }

        private func isOnOneShard(_ ranges: [KeyRange]) -> Bool {
            var owner: Int?
            for range in ranges {
                var chunk = index(of: range.lower)
                while chunk < bounds.count, chunk == 0 || KeyRange.ends(bounds[chunk], before: range.upper) {
                    if let owner, owner != load.parts[chunk].shard { return false }
                    owner = load.parts[chunk].shard
                    chunk += 1
                }
            }
            return true
        }

        var largestOverMean: String {
            let total = load.bytes.reduce(0, +)
            guard total > 0 else { return "0" }
            return BalancerExperiment.decimal(
                Double(load.bytes.max() ?? 0) * Double(load.bytes.count) / Double(total))
        }
    }
}

extension String {
    fileprivate func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(width - count, 0)) }
}
