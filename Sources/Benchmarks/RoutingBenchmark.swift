import BSON
import Core
import ShardKeyStrategies
import Sharding

/// A routing table of 100,000 chunks: what it takes, how fast a key is found, how long a refresh lasts.
enum RoutingBenchmark {
    static let chunks = 100_000

    static func run() {
        do {
            try table("hashed", HashedShardKeys(), ["user": "hashed"])
            try table("ranged, two fields", RangedShardKeys(), ["tenant": 1, "id": 1])
        } catch {
            print("routing benchmark failed: \(error)")
        }
    }

    private static func document(_ number: Int) -> Document {
        [
            "user": .int64(Int64(number)), "tenant": .string("tenant-\(number % 1000)"),
            "id": .objectID(ObjectID(high: UInt64(number) &* 0x9E37_79B9_7F4A_7C15, low: 7)),
        ]
    }

    private static func table(_ name: String, _ strategy: any ShardKeyStrategy, _ pattern: Document) throws {
        let space = try ShardKeySpace(strategy, pattern: pattern)
        var positions = try (0..<chunks).map { number in
            try document(number).withView { try space.position(of: $0) }
        }
        positions.sort { $0.lexicographicallyPrecedes($1) }
        let bounds: [[UInt8]] = [[]] + positions.dropFirst()
        let epoch = Epoch(Timestamp(seconds: 1, increment: 1))
        let shards = (0..<10).map { ShardID("s\($0)") }
        let majors = Dictionary(uniqueKeysWithValues: shards.map { ($0, UInt32(1)) })
        let list = bounds.indices.map { index in
            Chunk(
                KeyRange(lower: bounds[index], upper: index + 1 < bounds.count ? bounds[index + 1] : nil),
                on: shards[index % 10], PlacementVersion(epoch, major: 1, minor: UInt32(index)),
                history: [Ownership(validAfter: Timestamp(seconds: 1, increment: 1), shard: shards[index % 10])])
        }
        let namespace = Namespace("shop", "orders")
        var start = ContinuousClock.now
        let table = try RoutingTable(namespace, chunks: list, majors: majors)
        let built = ContinuousClock.now - start
        print(
            "routing table, \(name): \(chunks) chunks made in \(built.wholeMilliseconds) ms, "
                + "\(Double(table.byteCount) / Double(chunks)) bytes a chunk")

        var state: UInt64 = 1
        let keys = try (0..<200_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return try document(Int(state >> 40)).withView { try space.position(of: $0) }
        }
        var found = 0
        start = ContinuousClock.now
        for key in keys { key.withUnsafeBytes { found &+= table.chunk(of: $0) } }
        let looked = ContinuousClock.now - start
        print("routing table, \(name): a key found in \(looked.nanoseconds / Int64(keys.count)) ns (\(found % 10))")

        for count in [1, 100, 10_000] {
            let changed = (0..<count).map { number in
                var chunk = list[number * (chunks / count)]
                chunk.version = PlacementVersion(epoch, major: 2, minor: 0)
                chunk.shard = shards[(number + 3) % 10]
                chunk.history =
                    [Ownership(validAfter: Timestamp(seconds: 2, increment: 1), shard: chunk.shard)]
                    + chunk.history
                return chunk
            }
            start = ContinuousClock.now
            let refreshed = try table.refreshed(changed, majors: majors)
            let duration = ContinuousClock.now - start
            print(
                "routing table, \(name): refreshed with \(count) changed chunks of \(refreshed.count) in "
                    + "\(duration.wholeMicroseconds) µs")
        }
        start = ContinuousClock.now
        var position = 0
        for number in 0..<200_000 {
            position &+= try document(number).withView { try space.position(of: $0).count }
        }
        let made = ContinuousClock.now - start
        print(
            "shard key, \(name): a document and its position made in \(made.nanoseconds / 200_000) ns "
                + "(\(position % 10))"
        )
    }
}
