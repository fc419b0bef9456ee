internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// The balancer at work, on the primary of the config servers: measures, splits what is too large, asks the pure
/// `Balancer` what is to move, and has it moved.
final class ConfigBalancer {
    private unowned let config: ConfigServer
    private var balancer: Balancer
    private(set) var rounds: Int64 = 0
    private(set) var isInRound = false
    /// What chunks were found to hold, by collection and lower bound; and how much of the collection the shard had
    /// then.
    private var measured: [CollectionUUID: [[UInt8]: (bytes: Int64, ofShard: Int64)]] = [:]
    private let woken: LoopSignal

    init(_ config: ConfigServer) {
        self.config = config
        balancer = Balancer()
        woken = LoopSignal(runtime: config.node.runtime)
    }

    private var node: Node { config.node }

    /// Works for as long as this primary leads.
    func start() {
        let term = node.role.term
        node.runtime.spawn("balancer") { [self] in
            while node.takesWrites, node.role.term == term, !node.isStopped {
                var hasMoved = false
                do { hasMoved = try await round() } catch {
                    node.runtime.log.log(.info, "balancer", "a round was given up: \(error)")
                }
                isInRound = false
                await woken.wait(
                    until: node.runtime.now + (hasMoved ? Limits.balancerPauseBusy : Limits.balancerPause))
            }
        }
    }

    /// A setting has changed, or there is something to do.
    func wake() { woken.fire() }

    /// What a look at the cluster shows.
    struct Look {
        var shards: [ShardEntry] = []
        var placements: [Placement] = []
        var loads: [CollectionLoad] = []
        var settings = BalancerSettings()
    }

    /// One round. Returns whether something was done.
    private func round() async throws -> Bool {
        guard config.readyTerm == node.role.term else { return false }
        let settings = try await config.settings()
        let minute = Int(node.runtime.wallClock.milliseconds / 60_000 % 1440)
        guard settings.isActive(minuteOfDay: minute) else { return false }
        isInRound = true
        rounds += 1
        let hasSplit = try await splitLargeChunks(settings)
        let look = try await look(measuring: true)
        let decided = balancer.decide(look.shards.map(\.balancerShard), look.loads)
        var entries: [MigrationEntry] = []
        for move in decided.moves {
            let placement = look.placements[move.collection]
            let range = placement.table.range(move.chunk)
            guard let chunk = placement.chunk(move.chunk) else { continue }
            do {
                let entry = try await config.gate.run {
                    try await config.begin(
                        try await config.placement(placement.entry.name), range, chunk.min, chunk.max,
                        to: look.shards[move.recipient].id, forceJumbo: false)
                }
                if let entry { entries.append(entry) }
            } catch let error as ServerError {
                node.runtime.log.log(.info, "balancer", "\(placement.entry.name.fullName): \(error)")
            }
        }
        for entry in entries {
            let end = try await config.finish(entry)
            if case .committed? = end.outcome { continue }
            node.runtime.log.log(
                .info, "balancer", "a move of \(entry.name.fullName) was given up: \(end.reason ?? "")")
        }
        return hasSplit || !entries.isEmpty
    }

    // MARK: Looking

    /// Shards, collections and how much of them is where.
    /// - Parameter measuring: chunks that nobody has looked at are measured by their shards; else they count as
    /// average.
    func look(measuring: Bool, only namespace: Namespace? = nil) async throws -> Look {
        var look = Look()
        look.settings = try await config.settings()
        look.shards = try await config.shards()
        let sizes = await shardSizes(look.shards)
        for entry in try await config.entries(CollectionEntry.self).sorted(by: { $0.name < $1.name })
        where namespace == nil || entry.name == namespace {
            let placement = try await config.gate.run { try await config.placement(entry.name) }
            if measuring { try await measure(placement, look.shards, sizes) }
            look.placements.append(placement)
            look.loads.append(try await load(placement, look, sizes))
        }
        return look
    }

    private func shardSizes(_ shards: [ShardEntry]) async -> [ShardID: [CollectionUUID: Int64]] {
        var sizes: [ShardID: [CollectionUUID: Int64]] = [:]
        for shard in shards {
            let reply = try? await config.link(shard).run(patience: Limits.clusterHelloTimeout) {
                $0.append("_shardsvrSizes", int32: 1)
            }
            guard let reply else { continue }
            var found: [CollectionUUID: Int64] = [:]
            for part in (reply["collections"]?.asArray ?? []).compactMap(\.asDocument) {
                if let uuid = part.withView({ CollectionUUID($0["uuid"]) }) { found[uuid] = part["bytes"]?.asInteger }
            }
            sizes[shard.id] = found
        }
        return sizes
    }

    private func measure(
        _ placement: Placement, _ shards: [ShardEntry], _ sizes: [ShardID: [CollectionUUID: Int64]]
    ) async throws {
        let uuid = placement.entry.uuid
        let chunkSize = size(of: placement, try await config.settings())
        var budget = Limits.splitChunksPerRound
        for index in 0..<placement.table.count where budget > 0 {
            let chunk = placement.table[index]
            let ofShard = sizes[chunk.shard]?[uuid] ?? 0
            if let known = measured[uuid]?[chunk.range.lower], abs(known.ofShard - ofShard) < chunkSize / 4 { continue }
            guard let shard = shards.first(where: { $0.id == chunk.shard }) else { continue }
            budget -= 1
            let reply = try await ask(shard, placement, chunk.range, chunkSize)
            measured[uuid, default: [:]][chunk.range.lower] = (reply["bytes"]?.asInteger ?? 0, ofShard)
        }
    }

    private func ask(
        _ shard: ShardEntry, _ placement: Placement, _ range: KeyRange, _ chunkSize: Int64
    ) async throws -> Document {
        try await config.link(shard).run(timeout: Limits.clusterLongCallTimeout) { writer in
            writer.append("_shardsvrSplitPoints", string: placement.entry.name.fullName)
            writer.append("range", range.document)
            writer.append("bytes", int64: chunkSize)
        }
    }

    private func size(of placement: Placement, _ settings: BalancerSettings) -> Int64 {
        placement.entry.maxChunkSizeBytes ?? settings.chunkSize
    }

    private func load(
        _ placement: Placement, _ look: Look, _ sizes: [ShardID: [CollectionUUID: Int64]]
    ) async throws -> CollectionLoad {
        let entry = placement.entry
        let places = Dictionary(uniqueKeysWithValues: look.shards.enumerated().map { ($1.id, $0) })
        var ranges: [ZoneRange] = []
        for zone in try await config.zones(entry.name) { ranges.append(try zone.range(in: placement.space)) }
        let zones = try Zones(entry.name, ranges)
        let names = Set(ranges.map(\.zone)).sorted()
        var chunkCounts: [ShardID: Int64] = [:]
        for index in 0..<placement.table.count { chunkCounts[placement.table[index].shard, default: 0] += 1 }
        let parts = (0..<placement.table.count).map { index in
            let chunk = placement.table[index]
            let average = (sizes[chunk.shard]?[entry.uuid] ?? 0) / max(chunkCounts[chunk.shard] ?? 1, 1)
            var zone: Int?
            if case .inside(let name) = zones.place(of: chunk.range) { zone = names.firstIndex(of: name) }
            return CollectionLoad.Part(
                shard: places[chunk.shard] ?? -1, zone: zone,
                bytes: measured[entry.uuid]?[chunk.range.lower]?.bytes ?? average, isJumbo: chunk.isJumbo)
        }
        return CollectionLoad(
            entry.name, chunkSize: size(of: placement, look.settings),
            isBalanced: !entry.isNotBalanced && entry.allowsMigrations, zones: names, parts: parts,
            shardCount: look.shards.count)
    }

    // MARK: Splitting

    /// Splits chunks that are larger than half the configured size, and those that lie over a zone's border.
    private func splitLargeChunks(_ settings: BalancerSettings) async throws -> Bool {
        var hasSplit = false
        let shards = try await config.shards()
        let sizes = await shardSizes(shards)
        for entry in try await config.entries(CollectionEntry.self) where !entry.isNotBalanced {
            if try await splitAtZones(entry.name) { hasSplit = true }
            let placement = try await config.gate.run { try await config.placement(entry.name) }
            let chunkSize = size(of: placement, settings)
            try await measure(placement, shards, sizes)
            for index in 0..<placement.table.count where !placement.table.isJumbo(index) {
                let chunk = placement.table[index]
                guard let known = measured[entry.uuid]?[chunk.range.lower],
                    known.bytes > SplitRules.bytesMax(chunkSize: chunkSize),
                    let shard = shards.first(where: { $0.id == chunk.shard })
                else { continue }
                let reply = try await ask(shard, placement, chunk.range, chunkSize)
                if try await split(entry.name, chunk, reply) {
                    measured[entry.uuid]?[chunk.range.lower] = nil
                    hasSplit = true
                }
            }
        }
        return hasSplit
    }

    private func split(_ namespace: Namespace, _ chunk: Chunk, _ reply: Document) async throws -> Bool {
        try await config.gate.run {
            let placement = try await config.placement(namespace)
            let index = chunk.range.lower.withUnsafeBytes { placement.table.chunk(of: $0) }
            // It may have changed while the shard was asked.
            guard placement.table.range(index) == chunk.range else { return false }
            if reply["isJumbo"]?.asBool == true {
                try await config.setJumbo(namespace, index, true)
                return true
            }
            var bounds: [[UInt8]: Document] = [:]
            for point in (reply["points"]?.asArray ?? []).compactMap(\.asDocument).prefix(Limits.initialChunksMax) {
                let bound = try placement.space.bound(point)
                bounds[bound.key] = bound.document
            }
            guard !bounds.isEmpty else { return false }
            let points = bounds.keys.sorted { $0.lexicographicallyPrecedes($1) }
            try await config.change(
                namespace, bounds: bounds, log: ("autoSplit", ["points": .int64(Int64(points.count))])
            ) { try $0.table.split(index, at: points) }
            return true
        }
    }

    private func splitAtZones(_ namespace: Namespace) async throws -> Bool {
        try await config.gate.run {
            let documents = try await config.zones(namespace)
            guard !documents.isEmpty else { return false }
            let placement = try await config.placement(namespace)
            var bounds: [[UInt8]: Document] = [:]
            var ranges: [ZoneRange] = []
            for zone in documents {
                ranges.append(try zone.range(in: placement.space))
                for document in [zone.min, zone.max] {
                    let bound = try placement.space.bound(extending: document)
                    bounds[bound.key] = bound.document
                }
            }
            let zones = try Zones(namespace, ranges)
            for index in 0..<placement.table.count {
                guard case .across(let borders) = zones.place(of: placement.table.range(index)) else { continue }
                try await config.change(namespace, bounds: bounds) { try $0.table.split(index, at: borders) }
                return true
            }
            return false
        }
    }
}

extension ShardEntry {
    /// As the balancer sees it.
    var balancerShard: BalancerShard { BalancerShard(id, zones: Set(zones), isDraining: isDraining) }
}

/// What clients ask of the balancer.
extension ConfigServer {
    /// `balancerStatus`.
    func balancerStatus() async throws -> Document {
        let settings = try await settings()
        return Document { writer in
            writer.append("mode", string: settings.isStopped ? "off" : "full")
            writer.append("inBalancerRound", bool: balancer.isInRound)
            writer.append("numBalancerRounds", int64: balancer.rounds)
            writer.append("term", int64: node.role.term)
        }
    }

    /// `balancerCollectionStatus`.
    func balancerCollectionStatus(_ namespace: Namespace) async throws -> Document {
        try await awaitReady()
        guard try await collection(namespace) != nil else {
            throw ServerError(.namespaceNotSharded, "Namespace \(namespace.fullName) is not sharded")
        }
        let look = try await balancer.look(measuring: true, only: namespace)
        var fresh = Balancer()
        let round = fresh.decide(look.shards.map(\.balancerShard), look.loads)
        return Document { writer in
            writer.append("chunkSize", int64: (look.loads.first?.chunkSize ?? look.settings.chunkSize) >> 20)
            // What is too large to be moved as it is has to be split first.
            let isUneven = look.loads.contains { load in
                let bytes = load.bytes.enumerated().filter { !look.shards[$0.offset].isDraining }.map(\.element)
                return load.isBalanced && !load.parts.allSatisfy(\.isJumbo)
                    && (bytes.max() ?? 0) - (bytes.min() ?? 0) > load.chunkSize * Balancer.thresholdChunks
            }
            writer.append("balancerCompliant", bool: round.moves.isEmpty && !isUneven)
            let violation: StaticString
            switch round.moves.first?.reason {
            case .draining: violation = "draining"
            case .zoneViolation: violation = "zoneViolation"
            case .imbalance: violation = "chunksImbalance"
            case nil:
                guard isUneven else { return }
                violation = "chunksImbalance"
            }
            writer.append("firstComplianceViolation", string: violation)
        }
    }

    /// `removeShard`: begins to drain a shard, says how far that is, and removes it when nothing is left.
    func removeShard(_ id: ShardID) async throws -> Document {
        let reply = try await gate.run { () -> Document in
            try await awaitReady()
            var entry = try await shard(id)
            let all = try await shards()
            let databases = try await entries(DatabaseEntry.self).filter { $0.primary == id }.map(\.name).sorted()
            let toMove = Value.array(databases.map { .string($0) })
            if !entry.isDraining {
                guard all.contains(where: { $0.id != id && !$0.isDraining }) else {
                    throw ServerError(
                        .illegalOperation, "Operation not allowed because it would remove the last shard")
                }
                entry.isDraining = true
                entry.topologyTime = try node.newTimestamp()
                var changes = DocumentChanges()
                changes.put(ShardEntry.namespace, entry.document)
                changes.append(logged("removeShard.start", nil, ["shard": .string(id.name)]))
                try await node.commit(changes)
                return [
                    "msg": "draining started successfully", "state": "started", "shard": .string(id.name),
                    "note": "the databases below stay until they are moved or dropped", "dbsToMove": toMove,
                ]
            }
            var chunks: Int64 = 0
            var jumbo: Int64 = 0
            for collection in try await entries(CollectionEntry.self) {
                let table = try await placement(collection.name).table
                for index in 0..<table.count where table[index].shard == id {
                    chunks += 1
                    if table.isJumbo(index) { jumbo += 1 }
                }
            }
            let busy = try await migrationEntries().contains {
                $0.outcome == nil && ($0.task.donor == id || $0.task.recipient == id)
            }
            guard chunks == 0, databases.isEmpty, !busy else {
                return [
                    "msg": "draining ongoing", "state": "ongoing",
                    "remaining": [
                        "chunks": .int64(chunks), "dbs": .int64(Int64(databases.count)), "jumboChunks": .int64(jumbo),
                    ], "note": "the databases below stay until they are moved or dropped", "dbsToMove": toMove,
                ]
            }
            var changes = DocumentChanges()
            changes.delete(ShardEntry.namespace, .string(id.name))
            // The list of shards has changed by what is not in it any more.
            if var other = all.first(where: { $0.id != id }) {
                other.topologyTime = try node.newTimestamp()
                changes.put(ShardEntry.namespace, other.document)
            }
            changes.append(logged("removeShard", nil, ["shard": .string(id.name)]))
            try await node.commit(changes)
            dropLink(id)
            return [
                "msg": "removeshard completed successfully", "state": "completed", "shard": .string(id.name),
            ]
        }
        balancer.wake()
        return reply
    }
}
