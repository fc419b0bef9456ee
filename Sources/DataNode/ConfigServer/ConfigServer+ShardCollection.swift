internal import BSON
internal import Core
internal import Data
internal import Sharding

/// What `shardCollection` asks for.
struct ShardCollectionRequest {
    let namespace: Namespace
    let key: Document
    let isUnique: Bool
    let strategy: String?
    let strategyOptions: Document
    let initialChunks: Int?

    /// - Throws: what is wrong with the command, with MongoDB's codes.
    init(_ body: Document) throws(ServerError) {
        guard let name = body["shardCollection"]?.asString else {
            throw ServerError(.badValue, "shardCollection needs the full name of a collection")
        }
        namespace = try Namespace(validating: name)
        guard let key = body["key"]?.asDocument, !key.isEmpty else {
            throw ServerError(.badValue, "Shard key is empty: shardCollection needs a 'key'")
        }
        self.key = key
        isUnique = body["unique"]?.asBool ?? false
        strategy = body["strategy"]?.asString
        strategyOptions = body["strategyOptions"]?.asDocument ?? Document()
        if let collation = body["collation"]?.asDocument, collation["locale"]?.asString != "simple" {
            throw ServerError(
                .badValue, "The collation for shardCollection must be {locale: 'simple'}, but found: \(collation)")
        }
        guard let number = body["numInitialChunks"] else {
            initialChunks = nil
            return
        }
        guard let count = number.asInteger, (1...Int64(Limits.initialChunksMax)).contains(count) else {
            throw ServerError(
                .invalidOptions, "numInitialChunks must be from 1 to \(Limits.initialChunksMax)")
        }
        initialChunks = Int(count)
    }
}

/// `shardCollection`.
///
/// The primary shard makes collection and index, then takes its ownership, while the config servers have not said a
/// word: from then on it refuses what is routed as unsharded. Then the config servers write the collection with all its
/// chunks, in one step. If they never do, because another leads them now, the shard finds that out as soon as somebody
/// asks for the collection, and forgets what it had taken.
extension ConfigServer {
    func shardCollection(_ request: ShardCollectionRequest) async throws -> Document {
        let namespace = request.namespace
        guard !["admin", "config", "local"].contains(namespace.database), !namespace.isSystem else {
            throw ServerError(.illegalOperation, "\(namespace.fullName) cannot be sharded: it is the server's own")
        }
        var others: Set<ShardID> = []
        var uuid: CollectionUUID?
        try await gate.run {
            try await awaitReady()
            let name = request.strategy ?? node.options.shardKeyStrategy
            let space = try node.shardKeySpace(
                name, request.strategyOptions, request.key, fingerprint: nil, namespace)
            guard !request.isUnique || space.pattern.hashedField == nil else {
                throw ServerError(
                    .invalidOptions,
                    "Hashed shard keys cannot be declared unique. It's possible to ensure uniqueness on the hashed "
                        + "field by declaring an additional (non-hashed) unique index on the field.")
            }
            if let known = try await collection(namespace) {
                guard known.key == request.key, known.isUnique == request.isUnique, known.strategy == name else {
                    throw ServerError(
                        .alreadyInitialized,
                        "sharding already enabled for collection \(namespace.fullName) with the key \(known.key)")
                }
                uuid = known.uuid
                return try await node.awaitMajority(node.lastOpTime)
            }
            try await checkNothingPends(namespace)
            let database = try await createDatabaseAlone(namespace.database, on: nil)
            others = try await shard(request, space, on: database.primary)
            uuid = try await collection(namespace)?.uuid
        }
        // They ask in turn, when others may come again.
        await tell(others, of: namespace)
        return Document { writer in
            writer.append("collectionsharded", string: namespace.fullName)
            if let uuid { writer.append("collectionUUID", uuid) }
        }
    }

    /// - Returns: the other shards that have chunks.
    private func shard(_ request: ShardCollectionRequest, _ space: ShardKeySpace, on primary: ShardID) async throws
        -> Set<ShardID>
    {
        let link = link(try await shard(primary))
        let namespace = request.namespace
        let prepared = try await link.run(timeout: Limits.clusterLongCallTimeout) { writer in
            writer.append("_shardsvrPrepareSharding", string: namespace.fullName)
            writer.append("key", request.key)
            writer.append("unique", bool: request.isUnique)
            if let index = space.supportingIndex { writer.append("index", index) }
            writer.append("strategy", string: space.strategyName)
            writer.append("strategyOptions", request.strategyOptions)
        }
        let uuid = try (["uuid": prepared["uuid"] ?? .null] as Document).withView { view throws(ServerError) in
            guard let uuid = CollectionUUID(view["uuid"]) else {
                throw ServerError(.failedToParse, "the shard \(primary) has not said the UUID of \(namespace.fullName)")
            }
            return uuid
        }
        var isEmpty = prepared["empty"]?.asBool ?? false
        while true {
            let placement = try await plan(request, space, uuid, on: primary, isEmpty: isEmpty)
            let begun = try await link.run { writer in
                writer.append("_shardsvrBeginSharding", string: namespace.fullName)
                writer.append("collection", placement.entry.document)
                writer.append("mustBeEmpty", bool: isEmpty)
                writer.append("placement", placement.ownership(of: primary))
            }
            // Somebody has written meanwhile: what is there belongs where it is.
            if begun["notEmpty"]?.asBool == true, isEmpty {
                isEmpty = false
                continue
            }
            var changes = DocumentChanges()
            changes.put(CollectionEntry.namespace, placement.entry.document)
            for chunk in placement.documents { changes.put(ChunkEntry.namespace, chunk.document) }
            changes.append(
                logged("shardCollection", namespace, ["numChunks": .int64(Int64(placement.table.count))]))
            try await node.commit(changes)
            keep(placement)
            return Set(placement.table.shards).subtracting([primary])
        }
    }

    /// The first chunks: as the strategy says for an empty collection, cut at the zones; one for what has documents.
    private func plan(
        _ request: ShardCollectionRequest, _ space: ShardKeySpace, _ uuid: CollectionUUID, on primary: ShardID,
        isEmpty: Bool
    ) async throws -> Placement {
        let namespace = request.namespace
        let epoch = Epoch(try node.newTimestamp())
        let shards = try await shards().filter { !$0.isDraining || $0.id == primary }
        let zones = try await self.zones(namespace)
        var zoneRanges: [ZoneRange] = []
        for zone in zones { zoneRanges.append(try zone.range(in: space)) }
        let checked = try Zones(namespace, zoneRanges)
        var bounds: [[UInt8]: Document] = [:]
        if isEmpty {
            let perShard = request.initialChunks.map { max(1, ($0 + shards.count - 1) / max(shards.count, 1)) } ?? 1
            let requestZones = zones.map { zone in
                InitialChunkRequest.Zone(
                    name: zone.zone, min: zone.min, max: zone.max,
                    shardCount: shards.filter { $0.zones.contains(zone.zone) }.count)
            }
            let splits = space.initialSplits(shardCount: shards.count, chunksPerShard: perShard, zones: requestZones)
            for split in splits { bounds[split.key] = split.document }
            for zone in zones {
                for document in [zone.min, zone.max] {
                    let bound = try space.bound(extending: document)
                    if !bound.key.isEmpty, bound.document != space.highest { bounds[bound.key] = bound.document }
                }
            }
        }
        let borders = bounds.keys.sorted { $0.lexicographicallyPrecedes($1) }
        let lowers = [[]] + borders
        let uppers = borders.map { $0 as [UInt8]? } + [nil]
        let isSpread = !borders.isEmpty
        var majors: [ShardID: UInt32] = [primary: 1]
        var entries: [ChunkEntry] = []
        var next: [String?: Int] = [:]
        for (index, (lower, upper)) in zip(lowers, uppers).enumerated() {
            let range = KeyRange(lower: lower, upper: upper)
            var owner = primary
            if isSpread {
                var zone: String?
                if case .inside(let name) = checked.place(of: range) { zone = name }
                let possible = shards.filter { shard in zone.map { shard.zones.contains($0) } ?? true }.map(\.id)
                if !possible.isEmpty {
                    owner = possible[next[zone, default: 0] % possible.count]
                    next[zone, default: 0] += 1
                }
            }
            majors[owner] = 1
            let chunk = Chunk(
                range, on: owner, PlacementVersion(epoch, major: 1, minor: UInt32(clamping: index)),
                history: [Ownership(validAfter: epoch.timestamp, shard: owner)])
            entries.append(
                ChunkEntry(
                    chunk, id: node.data.newObjectID(), uuid: uuid,
                    min: lower.isEmpty ? space.lowest : bounds[lower] ?? space.lowest,
                    max: upper.flatMap { bounds[$0] } ?? space.highest))
        }
        let entry = CollectionEntry(
            namespace, uuid: uuid, key: request.key, isUnique: request.isUnique,
            lastmodEpoch: node.data.newObjectID(), epoch: epoch, lastmod: node.runtime.wallClock.milliseconds,
            majors: majors, strategy: space.strategyName, strategyOptions: request.strategyOptions,
            strategyFingerprint: try space.fingerprint())
        return try Placement(entry, space, entries)
    }

    /// Has shards find out what they own of a collection. One that does not hear it finds out when it is asked.
    func tell(_ shards: Set<ShardID>, of namespace: Namespace) async {
        for shard in shards.sorted() {
            guard let entry = try? await self.shard(shard) else { continue }
            _ = try? await link(entry).run(patience: Limits.clusterHelloTimeout) {
                $0.append("_shardsvrLearn", string: namespace.fullName)
            }
        }
    }

    /// Nothing of an earlier collection of that name is still to be dropped.
    /// - Throws: `ConflictingOperationInProgress`.
    func checkNothingPends(_ namespace: Namespace) async throws {
        guard try await pendingDrop(of: namespace) != nil else { return }
        throw ServerError(
            .conflictingOperationInProgress, "the collection \(namespace.fullName) is being dropped: try again")
    }
}

extension Placement {
    /// What a shard owns, as it is told: `{major, ranges: [{min, max, from}]}`.
    func ownership(of shard: ShardID) -> Document {
        Document { writer in
            writer.append("major", int64: Int64(entry.majors[shard] ?? 0))
            writer.array("ranges") { array in
                for chunk in table.chunks where chunk.shard == shard {
                    array.document { range in
                        range.append("min", .binary(subtype: 0, chunk.range.lower))
                        range.append("max", chunk.range.upper.map { .binary(subtype: 0, $0) } ?? .null)
                        range.append("from", timestamp: chunk.history.first?.validAfter ?? entry.epoch.timestamp)
                    }
                }
            }
        }
    }
}
