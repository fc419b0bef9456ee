internal import BSON
public import Core

extension RoutingTable {
    /// The table with what has changed since it was read.
    ///
    /// `changes` are the chunks at `version` or behind it, not only those behind: a move changes two chunks with one
    /// major, and a reader may have seen the first only. Whatever a changed chunk covers, it replaces.
    /// - Parameters:
    ///   - changes: in any order.
    ///   - majors: the major versions of shards that have changed.
    /// - Throws: `StaleEpoch` for chunks of another incarnation: the table must be read anew.
    ///   `IncompatibleShardingMetadata` when chunks are missing or overlap, or an older chunk would replace a newer
    /// one.
    public func refreshed(
        _ changes: [Chunk], majors changedMajors: [ShardID: UInt32] = [:]
    ) throws(ServerError) -> RoutingTable {
        guard let epoch = version.epoch else { throw RoutingTable.fault(namespace, "is not known") }
        let changes = changes.sorted { $0.range.lower.lexicographicallyPrecedes($1.range.lower) }
        for chunk in changes where chunk.version.epoch != epoch {
            throw ServerError(
                .staleEpoch, "The collection \(namespace.fullName) was sharded anew: \(chunk.version), not \(version)")
        }
        var known = Dictionary(uniqueKeysWithValues: zip(shards, majors))
        for (shard, major) in changedMajors { known[shard] = max(known[shard] ?? 0, major) }
        for chunk in changes where known[chunk.shard] == nil {
            throw RoutingTable.fault(namespace, "has a chunk on \(chunk.shard), whose version is not known")
        }
        let shards = known.keys.sorted()
        guard shards.count <= Int(UInt16.max) else { throw RoutingTable.fault(namespace, "has too many shards") }
        let places = Dictionary(uniqueKeysWithValues: shards.enumerated().map { ($1, UInt16(clamping: $0)) })
        var merge = Merge(self, moved: self.shards.map { places[$0] ?? 0 })
        for chunk in changes { try merge.put(chunk, owner: places[chunk.shard] ?? 0) }
        try merge.finish()
        return RoutingTable(namespace, epoch, shards, shards.map { known[$0] ?? 0 }, merge.builder)
    }

    /// Walks the old chunks and the changed ones side by side.
    private struct Merge {
        let old: RoutingTable
        /// The new place of each old shard.
        let moved: [UInt16]
        var builder: Builder
        /// The first old chunk that has not been taken or replaced.
        var next = 0
        /// Where the chunks so far end; nil for the end of all keys.
        var end: [UInt8]? = []
        var nextJumbo = 0

        init(_ old: RoutingTable, moved: [UInt16]) {
            self.old = old
            self.moved = moved
            builder = Builder(capacity: old.count + 16)
        }

        mutating func put(_ chunk: Chunk, owner: UInt16) throws(ServerError) {
            let lower = chunk.range.lower
            let first = lower.withUnsafeBytes { old.chunk(of: $0) }
            // The old chunk in which it begins goes as well: if it began before, that part is in the changes too.
            takeOld(upTo: first)
            guard end == lower else { throw fault(lower) }
            let last = chunk.range.upper.map { upper in
                let last = upper.withUnsafeBytes { old.chunk(of: $0) }
                return old.lower(last) == upper ? last : last + 1
            }
            for index in first..<(last ?? old.count) where old.versions[index] > chunk.version.packed {
                throw RoutingTable.fault(
                    old.namespace,
                    "would get an older chunk at \(shown(lower)): \(chunk.version) for "
                        + "\(old.version(ofChunk: index))")
            }
            let index = UInt32(clamping: builder.owners.count)
            builder.append(
                lower[...], owner: owner, chunk.version.packed,
                since: (chunk.history.first?.validAfter ?? .zero).rawValue)
            if chunk.isJumbo { builder.jumbo.append(index) }
            if chunk.history.count > 1 { builder.former[index] = Array(chunk.history.dropFirst()) }
            next = max(next, last ?? old.count)
            end = chunk.range.upper
        }

        mutating func finish() throws(ServerError) {
            takeOld(upTo: old.count)
            if let end { throw fault(end) }
        }

        /// Takes the old chunks before a place as they are. They are contiguous; the first must go on where the last
        /// chunk ended, which the next look at `end` finds out.
        private mutating func takeOld(upTo limit: Int) {
            guard next < limit else { return }
            if old.lower(next) != end { return }
            for index in next..<limit {
                let key = old.keys[Int(old.offsets[index])..<Int(old.offsets[index + 1])]
                let place = UInt32(clamping: builder.owners.count)
                builder.append(
                    key, owner: moved[Int(old.owners[index])], old.versions[index], since: old.since[index])
                while nextJumbo < old.jumbo.count, Int(old.jumbo[nextJumbo]) < index { nextJumbo += 1 }
                if nextJumbo < old.jumbo.count, Int(old.jumbo[nextJumbo]) == index { builder.jumbo.append(place) }
                if let former = old.formerOwners[UInt32(clamping: index)] { builder.former[place] = former }
            }
            next = limit
            end = limit < old.count ? old.lower(limit) : nil
        }

        private func fault(_ lower: [UInt8]) -> ServerError {
            guard let end, end.lexicographicallyPrecedes(lower) else {
                return RoutingTable.fault(
                    old.namespace,
                    end == lower
                        ? "has no chunk from \(shown(lower)) on"
                        : "has two chunks with the keys from \(shown(lower)) on")
            }
            return RoutingTable.fault(old.namespace, "has no chunk between \(shown(end)) and \(shown(lower))")
        }
    }
}
