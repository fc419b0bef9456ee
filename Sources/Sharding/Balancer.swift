public import Core

/// Why a range moves.
public enum MoveReason: String, Sendable, Hashable {
    /// Its shard is to be removed.
    case draining
    /// It is in a zone that its shard is not in.
    case zoneViolation
    /// Its shard has more data than others.
    case imbalance
}

/// One range that is to move.
public struct BalancerMove: Hashable, Sendable {
    /// The place of its collection in what the balancer was given.
    public let collection: Int
    /// The place of the chunk in its collection.
    public let chunk: Int
    /// The places of the shards.
    public let donor: Int
    /// Where to.
    public let recipient: Int
    /// Why.
    public let reason: MoveReason
}

/// What the balancer decides, as a pure value: from shards and collections to the moves of one round.
///
/// In order: whatever is on a shard that is to be removed, what is in the wrong zone, then imbalance. A shard takes
/// part in one move a round. The data of a collection is even enough while the fullest shard has less than three chunks
/// more than the emptiest, as in MongoDB since 6.1; once more than that has been found, moves go on until they are
/// within one chunk, or a collection would stay at the edge for ever.
public struct Balancer: Sendable {
    /// How many chunks of difference begin balancing.
    public static let thresholdChunks: Int64 = 3

    /// Collections whose balancing has begun and not ended, by name.
    public private(set) var underWay: Set<Namespace> = []
    /// How many rounds there were.
    public private(set) var rounds: UInt64 = 0

    /// A balancer that has not seen anything.
    public init() {}

    /// What one round found.
    public struct Round: Sendable, Hashable {
        /// The moves, none for what is as it should be.
        public var moves: [BalancerMove] = []
        /// What cannot be put right: jumbo chunks on a draining shard, zones without a shard.
        public var stuck: [Stuck] = []
        /// Whether nothing is left to do that could be done.
        public var isBalanced: Bool { moves.isEmpty }
    }

    /// Something that no move can put right.
    public enum Stuck: Sendable, Hashable {
        /// Chunks that cannot leave a shard that is to be removed.
        case jumbo(collection: Int, shard: Int, count: Int)
        /// No shard may have what is in the zone; nil for what is in none.
        case nowhere(collection: Int, zone: String?)
    }

    /// Decides one round.
    /// - Parameter mayMove: whether the settings allow moves now.
    public mutating func decide(_ shards: [BalancerShard], _ collections: [CollectionLoad], mayMove: Bool = true)
        -> Round
    {
        var round = Round()
        guard mayMove, !collections.isEmpty else { return round }
        var isFree = Array(repeating: true, count: shards.count)
        // Not always the same collection first: it would have all moves for as long as it needs any.
        let first = Int(rounds % UInt64(collections.count))
        let order = (0..<collections.count).map { ($0 + first) % collections.count }
        rounds &+= 1
        for collection in order { drain(collection, collections[collection], shards, &isFree, &round) }
        for collection in order { mendZones(collection, collections[collection], shards, &isFree, &round) }
        for collection in order where collections[collection].isBalanced {
            even(collection, collections[collection], shards, &isFree, &round)
        }
        return round
    }

    // MARK: Where a chunk may go

    /// The shards that may have chunks of a zone.
    private func eligible(_ zone: Int?, _ load: CollectionLoad, _ shards: [BalancerShard]) -> [Int] {
        shards.indices.filter { shard in
            !shards[shard].isDraining && load.bytes.indices.contains(shard)
                && (zone.map { shards[shard].zones.contains(load.zones[$0]) } ?? true)
        }
    }

    private func emptiest(_ shards: [Int], _ load: CollectionLoad, where isAllowed: (Int) -> Bool) -> Int? {
        shards.filter(isAllowed).min { (load.bytes[$0], $0) < (load.bytes[$1], $1) }
    }

    private func zonesAndNone(_ load: CollectionLoad) -> [Int?] { [nil] + load.zones.indices.map { $0 } }

    // MARK: What moves

    private func drain(
        _ collection: Int, _ load: CollectionLoad, _ shards: [BalancerShard], _ isFree: inout [Bool],
        _ round: inout Round
    ) {
        for shard in shards.indices where shards[shard].isDraining && load.bytes.indices.contains(shard) {
            if load.jumboCount[shard] > 0 {
                round.stuck.append(.jumbo(collection: collection, shard: shard, count: load.jumboCount[shard]))
            }
            leave(shard, zonesAndNone(load), .draining, collection, load, shards, &isFree, &round)
        }
    }

    private func mendZones(
        _ collection: Int, _ load: CollectionLoad, _ shards: [BalancerShard], _ isFree: inout [Bool],
        _ round: inout Round
    ) {
        for shard in shards.indices where !shards[shard].isDraining && load.bytes.indices.contains(shard) {
            let wrong = load.zones.indices.filter { !shards[shard].zones.contains(load.zones[$0]) }
            leave(shard, wrong.map { $0 }, .zoneViolation, collection, load, shards, &isFree, &round)
        }
    }

    /// One chunk of some zones leaves a shard, for the emptiest that may have it.
    private func leave(
        _ shard: Int, _ zones: [Int?], _ reason: MoveReason, _ collection: Int, _ load: CollectionLoad,
        _ shards: [BalancerShard], _ isFree: inout [Bool], _ round: inout Round
    ) {
        for zone in zones where load.movableCount(shard, zone: zone) > 0 {
            let possible = eligible(zone, load, shards)
            if possible.isEmpty {
                let stuck = Stuck.nowhere(collection: collection, zone: zone.map { load.zones[$0] })
                if !round.stuck.contains(stuck) { round.stuck.append(stuck) }
            }
            guard isFree[shard], let recipient = emptiest(possible, load, where: { isFree[$0] && $0 != shard }),
                let chunk = load.candidate(shard, zone: zone, upTo: .max)
            else { continue }
            isFree[shard] = false
            isFree[recipient] = false
            round.moves.append(
                BalancerMove(
                    collection: collection, chunk: chunk, donor: shard, recipient: recipient, reason: reason))
        }
    }

    private mutating func even(
        _ collection: Int, _ load: CollectionLoad, _ shards: [BalancerShard], _ isFree: inout [Bool],
        _ round: inout Round
    ) {
        let isUnderWay = underWay.contains(load.namespace)
        let (product, overflow) = load.chunkSize.multipliedReportingOverflow(by: Balancer.thresholdChunks)
        let threshold = isUnderWay ? load.chunkSize : overflow ? Int64.max : product
        var isEven = true
        for zone in zonesAndNone(load) {
            let possible = eligible(zone, load, shards)
            let inOrder = possible.sorted { (load.bytes[$0], $0) < (load.bytes[$1], $1) }
            guard let least = inOrder.first else { continue }
            var free = inOrder.filter { isFree[$0] }
            for donor in inOrder.reversed() where load.movableCount(donor, zone: zone) > 0 {
                guard load.bytes[donor] - load.bytes[least] > threshold else { break }
                isEven = false
                guard isFree[donor], let recipient = free.first(where: { isFree[$0] }), recipient != donor else {
                    continue
                }
                let difference = load.bytes[donor] - load.bytes[recipient]
                // What moves must be less than the difference, or the two would only change places.
                guard difference > threshold || isUnderWay && difference > load.chunkSize,
                    let chunk = load.candidate(donor, zone: zone, upTo: difference - 1)
                else { continue }
                isFree[donor] = false
                isFree[recipient] = false
                free.removeAll { !isFree[$0] }
                round.moves.append(
                    BalancerMove(
                        collection: collection, chunk: chunk, donor: donor, recipient: recipient, reason: .imbalance))
            }
        }
        if isEven { underWay.remove(load.namespace) } else { underWay.insert(load.namespace) }
    }
}
