internal import BSON
public import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// Where the ranges of one collection are: all chunks in ascending order, in a few flat arrays. Covers every key,
/// without gap or overlap; whatever would not is refused when it is made.
///
/// A value: a refresh makes a new one, and an operation that holds the old one goes on with it.
public struct RoutingTable: Sendable {
    /// The collection, for messages.
    public let namespace: Namespace
    /// The newest version of a chunk. A refresh asks for chunks at this version or behind it: several may share it, and
    /// a reader may have seen some of them only.
    public let version: PlacementVersion
    /// The shards that have, or had, chunks of the collection, in order of their names.
    public let shards: [ShardID]
    /// By place in `shards`, its major version. A shard that has no chunk left keeps one.
    let majors: [UInt32]

    /// The lower bounds one after the other; that of chunk i begins at `offsets[i]`.
    let keys: [UInt8]
    let offsets: [UInt32]
    /// What all lower bounds but the first, which is empty, begin with.
    let common: [UInt8]
    /// The eight bytes of each lower bound behind what is common, big-endian and filled up with zeros: most searches
    /// need no more.
    let prefixes: [UInt64]
    /// By chunk: the place of its owner in `shards`; its version; since when it is there.
    let owners: [UInt16]
    let versions: [UInt64]
    let since: [UInt64]
    /// Chunks that are jumbo, ascending.
    let jumbo: [UInt32]
    /// Earlier owners of those chunks that have any still, by chunk.
    let formerOwners: [UInt32: [Ownership]]

    /// The number of chunks.
    public var count: Int { owners.count }

    /// Makes a table of all chunks of a collection.
    /// - Parameters:
    ///   - chunks: in any order.
    ///   - majors: the major version of every shard that has, or had, chunks. It is not that of its chunks: a split
    ///     gives them a new version, and the shard keeps its own.
    /// - Throws: `IncompatibleShardingMetadata` that names the place where keys are missing or in two chunks.
    public init(_ namespace: Namespace, chunks: [Chunk], majors: [ShardID: UInt32]) throws(ServerError) {
        let sorted = chunks.sorted { $0.range.lower.lexicographicallyPrecedes($1.range.lower) }
        guard let epoch = sorted.first?.version.epoch else {
            throw RoutingTable.fault(namespace, "has no chunks")
        }
        for chunk in sorted {
            guard chunk.version.epoch == epoch else {
                throw RoutingTable.fault(
                    namespace, "has chunks of two incarnations, one at \(shown(chunk.range.lower))")
            }
            guard majors[chunk.shard] != nil else {
                throw RoutingTable.fault(namespace, "has a chunk on \(chunk.shard), whose version is not known")
            }
        }
        let shards = majors.keys.sorted()
        guard shards.count <= Int(UInt16.max), sorted.count <= Int(UInt32.max) else {
            throw RoutingTable.fault(namespace, "has too many shards or chunks")
        }
        let places = Dictionary(uniqueKeysWithValues: shards.enumerated().map { ($1, UInt16(clamping: $0)) })
        var builder = Builder(capacity: sorted.count)
        for (index, chunk) in sorted.enumerated() {
            builder.append(
                chunk.range.lower[...], owner: places[chunk.shard] ?? 0, chunk.version.packed,
                since: (chunk.history.first?.validAfter ?? .zero).rawValue)
            if chunk.isJumbo { builder.jumbo.append(UInt32(clamping: index)) }
            if chunk.history.count > 1 { builder.former[UInt32(clamping: index)] = Array(chunk.history.dropFirst()) }
            if let first = chunk.history.first, first.shard != chunk.shard {
                throw RoutingTable.fault(
                    namespace, "has a chunk at \(shown(chunk.range.lower)) whose history names another owner")
            }
            let next = index + 1 < sorted.count ? sorted[index + 1].range.lower : nil
            guard chunk.range.upper == next, index > 0 || chunk.range.lower.isEmpty else {
                throw RoutingTable.coverageFault(namespace, index, sorted, next)
            }
        }
        self.init(namespace, epoch, shards, shards.map { majors[$0] ?? 0 }, builder)
    }

    init(_ namespace: Namespace, _ epoch: Epoch, _ shards: [ShardID], _ majors: [UInt32], _ builder: Builder) {
        self.namespace = namespace
        self.shards = shards
        self.majors = majors
        keys = builder.keys
        offsets = builder.offsets
        common = builder.common
        prefixes = builder.prefixes
        owners = builder.owners
        versions = builder.versions
        since = builder.since
        jumbo = builder.jumbo
        formerOwners = builder.former
        version = PlacementVersion(epoch, packed: builder.versions.max() ?? 0)
    }

    private static func coverageFault(
        _ namespace: Namespace, _ index: Int, _ chunks: [Chunk], _ next: [UInt8]?
    ) -> ServerError {
        let range = chunks[index].range
        if index == 0, !range.lower.isEmpty {
            return fault(namespace, "begins at \(shown(range.lower)), and has no chunk before that")
        }
        if KeyRange.ends(range.upper, before: next) {
            return fault(namespace, "has no chunk between \(shown(range.upper)) and \(shown(next))")
        }
        return fault(
            namespace,
            "has two chunks with the same keys: one from \(shown(range.lower)) to \(shown(range.upper)), and one from "
                + shown(next))
    }

    static func fault(_ namespace: Namespace, _ what: String) -> ServerError {
        ServerError(.incompatibleShardingMetadata, "The placement of \(namespace.fullName) \(what)")
    }

    // MARK: Flat storage

    /// The arrays while they are filled.
    struct Builder {
        var keys: [UInt8] = []
        var offsets: [UInt32] = [0]
        var owners: [UInt16] = []
        var versions: [UInt64] = []
        var since: [UInt64] = []
        var jumbo: [UInt32] = []
        var former: [UInt32: [Ownership]] = [:]

        init(capacity: Int) {
            offsets.reserveCapacity(capacity + 1)
            owners.reserveCapacity(capacity)
            versions.reserveCapacity(capacity)
            since.reserveCapacity(capacity)
            keys.reserveCapacity(capacity * 12)
        }

        mutating func append(_ key: ArraySlice<UInt8>, owner: UInt16, _ version: UInt64, since: UInt64) {
            keys.append(contentsOf: key)
            offsets.append(UInt32(clamping: keys.count))
            owners.append(owner)
            versions.append(version)
            self.since.append(since)
        }

        private func key(_ index: Int) -> ArraySlice<UInt8> { keys[Int(offsets[index])..<Int(offsets[index + 1])] }

        /// Of bounds in order, what the first and the last begin with all begin with.
        var common: [UInt8] {
            guard owners.count > 2 else { return [] }
            return zip(key(1), key(owners.count - 1)).prefix { $0 == $1 }.map(\.0)
        }

        var prefixes: [UInt64] {
            let skipped = common.count
            return keys.withUnsafeBytes { keys in
                owners.indices.map { index in
                    let start = Int(offsets[index]) + skipped
                    let end = Int(offsets[index + 1])
                    return start < end ? RoutingTable.prefix(UnsafeRawBufferPointer(rebasing: keys[start..<end])) : 0
                }
            }
        }
    }

    /// Bytes that the table takes, for statistics.
    public var byteCount: Int {
        keys.capacity + 4 * offsets.capacity + 8 * prefixes.capacity + 2 * owners.capacity + 8 * versions.capacity
            + 8 * since.capacity + 4 * jumbo.capacity + formerOwners.reduce(0) { $0 + 48 + 32 * $1.value.count }
    }

    @inline(__always) static func prefix(_ key: UnsafeRawBufferPointer) -> UInt64 {
        if key.count >= 8 { return UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)) }
        var prefix: UInt64 = 0
        for byte in key { prefix = prefix << 8 | UInt64(byte) }
        return key.isEmpty ? 0 : prefix << UInt64(8 * (8 - key.count))
    }

    /// The chunk that holds a key: the last one whose lower bound is not behind it.
    public func chunk(of key: UnsafeRawBufferPointer) -> Int {
        let skipped = common.count
        if skipped > 0 {
            let order = common.withUnsafeBytes { common in
                guard let mine = common.baseAddress, let theirs = key.baseAddress else { return 1 }
                return Int(memcmp(mine, theirs, min(skipped, key.count)))
            }
            // Before all bounds but the first, or behind them all.
            if order > 0 || order == 0 && key.count < skipped { return 0 }
            if order < 0 { return count - 1 }
        }
        let wanted = RoutingTable.prefix(UnsafeRawBufferPointer(rebasing: key[skipped...]))
        return prefixes.withUnsafeBufferPointer { prefixes in
            var low = 0
            var high = prefixes.count
            // Behind `low` some lower bound is not behind the key; from `high` on all are.
            while high - low > 1 {
                let middle = (low + high) / 2
                let prefix = prefixes[middle]
                let isBehind = prefix == wanted ? compare(middle, key) > 0 : prefix > wanted
                if isBehind { high = middle } else { low = middle }
            }
            return low
        }
    }

    /// The order of a chunk's lower bound and a key.
    private func compare(_ chunk: Int, _ key: UnsafeRawBufferPointer) -> Int {
        keys.withUnsafeBytes { keys in
            let start = Int(offsets[chunk])
            let count = Int(offsets[chunk + 1]) - start
            guard let mine = keys.baseAddress, let theirs = key.baseAddress else { return count - key.count }
            let order = memcmp(mine + start, theirs, min(count, key.count))
            return order != 0 ? Int(order) : count - key.count
        }
    }
}

extension PlacementVersion {
    /// Major and minor as one number, in order.
    var packed: UInt64 { UInt64(major) << 32 | UInt64(minor) }

    init(_ epoch: Epoch, packed: UInt64) {
        self.init(
            epoch, major: UInt32(truncatingIfNeeded: packed >> 32), minor: UInt32(truncatingIfNeeded: packed))
    }
}
