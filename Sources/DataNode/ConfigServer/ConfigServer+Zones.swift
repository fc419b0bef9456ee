internal import BSON
internal import Core
internal import Data
internal import Sharding

/// Zones: which shards are in one, and which ranges belong to it.
extension ConfigServer {
    func zones(_ namespace: Namespace) async throws -> [ZoneEntry] {
        var zones: [ZoneEntry] = []
        for document in try await find(ZoneEntry.namespace, ["ns": .string(namespace.fullName)], sort: ["min": 1]) {
            zones.append(try ZoneEntry(reading: document))
        }
        return zones
    }

    private func membership() async throws -> ZoneMembership {
        ZoneMembership(
            Dictionary(uniqueKeysWithValues: try await shards().map { ($0.id, Set($0.zones)) }))
    }

    /// `addShardToZone`, `removeShardFromZone`.
    func setZone(_ shard: ShardID, _ zone: String, isIn: Bool) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            var entry = try await self.shard(shard)
            var membership = try await membership()
            if isIn {
                try membership.add(shard, to: zone)
            } else {
                let ranges = try await find(ZoneEntry.namespace, ["tag": .string(zone)])
                try membership.remove(shard, from: zone, inUse: !ranges.isEmpty)
            }
            entry.zones = (membership.zones[shard] ?? []).sorted()
            var changes = DocumentChanges()
            changes.put(ShardEntry.namespace, entry.document)
            try await node.commit(changes)
            return Document()
        }
    }

    /// `updateZoneKeyRange`: gives a range to a zone, or with no zone takes it out of its.
    func updateZoneKeyRange(_ namespace: Namespace, _ min: Document, _ max: Document, _ zone: String?) async throws
        -> Document
    {
        try await gate.run {
            try await awaitReady()
            let known = try await zones(namespace)
            // Before it is sharded the fields of the key are those that the bounds name.
            let space: ShardKeySpace
            if let entry = try await collection(namespace) {
                space = try self.space(of: entry)
            } else {
                let names = (known.first?.min ?? min).keys
                space = try node.shardKeySpace(
                    "ranged", Document(), Document { writer in for name in names { writer.append(name, .int32(1)) } },
                    fingerprint: nil, namespace)
            }
            let lower = try space.bound(extending: min)
            let upper = try space.bound(extending: max)
            let entry = ZoneEntry(namespace, min: lower.document, max: upper.document, zone: zone ?? "")
            let id = entry.document["_id"] ?? .null
            var changes = DocumentChanges()
            if let zone {
                try await membership().require(zone)
                var ranges: [ZoneRange] = []
                for zone in known { ranges.append(try zone.range(in: space)) }
                var zones = try Zones(namespace, ranges)
                try zones.assign(try entry.range(in: space))
                changes.put(ZoneEntry.namespace, entry.document)
            } else if known.contains(where: { $0.min == lower.document && $0.max == upper.document }) {
                changes.delete(ZoneEntry.namespace, id)
            }
            try await node.commit(changes)
            return Document()
        }
    }
}
