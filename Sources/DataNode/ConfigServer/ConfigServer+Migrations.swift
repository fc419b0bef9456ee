internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// A migration as the config servers keep it: a document of `config.migrations`. Decided ones stay: whoever asks late
/// is to be told the same.
///
///     {_id: UUID, ns, uuid, epoch, donor, recipient, min, max, minKey, maxKey,
///      state: "live" | "committed" | "aborted", validAfter?, major?}
struct MigrationEntry {
    let id: MigrationID
    let name: Namespace
    let uuid: CollectionUUID
    let task: MigrationRegistry.Task
    /// The bounds as clients see them.
    let min: Document
    let max: Document
    var outcome: MigrationOutcome?

    var record: MigrationRegistry.Record { outcome.map { .decided($0) } ?? .live(task) }

    var document: Document {
        Document { writer in
            writer.append("_id", id.uuid)
            writer.append("ns", string: name.fullName)
            writer.append("uuid", uuid)
            writer.append("epoch", timestamp: task.epoch.timestamp)
            writer.append("donor", string: task.donor.name)
            writer.append("recipient", string: task.recipient.name)
            writer.append("min", min)
            writer.append("max", max)
            writer.append("minKey", .binary(subtype: 0, task.range.lower))
            writer.append("maxKey", task.range.upper.map { .binary(subtype: 0, $0) } ?? .null)
            switch outcome {
            case nil: writer.append("state", string: "live")
            case .aborted: writer.append("state", string: "aborted")
            case .committed(let validAfter, let major):
                writer.append("state", string: "committed")
                writer.append("validAfter", timestamp: validAfter)
                writer.append("major", int64: Int64(major))
            }
        }
    }

    init(
        _ id: MigrationID, _ name: Namespace, _ uuid: CollectionUUID, _ task: MigrationRegistry.Task, min: Document,
        max: Document
    ) {
        self.id = id
        self.name = name
        self.uuid = uuid
        self.task = task
        self.min = min
        self.max = max
    }

    init(_ document: Document) throws(ServerError) {
        id = try MigrationID(reading: document["_id"])
        guard let uuid = document.withView({ CollectionUUID($0["uuid"]) }),
            let name = document["ns"]?.asString.flatMap({ Namespace(fullName: $0) }),
            let donor = document["donor"]?.asString, let recipient = document["recipient"]?.asString,
            let min = document["min"]?.asDocument, let max = document["max"]?.asDocument,
            let epoch = document["epoch"]?.asTimestamp
        else { throw ServerError(.failedToParse, "A document of config.migrations is not whole") }
        self.uuid = uuid
        self.name = name
        self.min = min
        self.max = max
        let range = try KeyRange(
            reading: ["min": document["minKey"] ?? .null, "max": document["maxKey"] ?? .null])
        task = .init(
            donor: ShardID(donor), recipient: ShardID(recipient), range: range, epoch: Epoch(epoch))
        outcome = MigrationOutcome([
            "outcome": document["state"] ?? .null, "validAfter": document["validAfter"] ?? .null,
            "major": document["major"] ?? .null,
        ])
    }
}

/// The config servers' side of migrations: who may begin, and the one decision.
extension ConfigServer {
    static let migrations = Namespace("config", "migrations")

    func migrationEntries() async throws -> [MigrationEntry] {
        try await node.data.whenResident { try node.data.documents(in: ConfigServer.migrations) }
            .map { document throws(ServerError) in try MigrationEntry(document) }
    }

    /// Migrations of a collection that are not decided.
    func liveMigrations(of uuid: CollectionUUID) async throws -> [MigrationEntry] {
        try await migrationEntries().filter { $0.uuid == uuid && $0.outcome == nil }
    }

    /// What a new primary finds.
    func loadMigrations() async throws {
        let entries = try await migrationEntries()
        registry = MigrationRegistry(
            found: Dictionary(uniqueKeysWithValues: entries.map { ($0.id, $0.record) }),
            mutants: node.runtime.simulation?.mutants ?? [])
    }

    /// Goes on with migrations that an earlier primary has begun.
    func resumeMigrations() async throws {
        for entry in try await migrationEntries() where entry.outcome == nil { follow(entry) }
    }

    // MARK: Beginning

    /// What `moveChunk` and `moveRange` ask for: the range, and where to.
    func moveRequest(_ placement: Placement, _ body: Document) throws -> (KeyRange, Document, Document, ShardID) {
        let space = placement.space
        guard let to = (body["toShard"] ?? body["to"])?.asString else {
            throw ServerError(.badValue, "The shard to move to is missing")
        }
        if let bounds = body["bounds"]?.asArray, bounds.count == 2, let min = bounds[0].asDocument,
            let max = bounds[1].asDocument
        {
            let index = try exactChunk(placement, min, max)
            return (placement.table.range(index), min, max, ShardID(to))
        }
        if let query = body["find"]?.asDocument {
            let key = try query.withView { view throws(ServerError) in try space.position(of: view) }
            let index = key.withUnsafeBytes { placement.table.chunk(of: $0) }
            guard let chunk = placement.chunk(index) else {
                throw InvariantViolation("a chunk of \(placement.entry.name) has no document")
            }
            return (placement.table.range(index), chunk.min, chunk.max, ShardID(to))
        }
        guard body["min"] != nil || body["max"] != nil else {
            throw ServerError(.badValue, "'\(body.keys.first ?? "moveRange")' needs the range: min, max, or a chunk")
        }
        let lower = try body["min"]?.asDocument.map { document throws(ServerError) in try space.bound(document) }
        let upper = try body["max"]?.asDocument.map { document throws(ServerError) in try space.bound(document) }
        let key = lower?.key ?? upper?.key ?? []
        let index = key.withUnsafeBytes { bytes in
            let found = placement.table.chunk(of: bytes)
            // A range that ends where a chunk begins lies in the chunk before.
            return lower == nil && found > 0 && placement.table.range(found).lower == key ? found - 1 : found
        }
        guard let chunk = placement.chunk(index) else {
            throw InvariantViolation("a chunk of \(placement.entry.name) has no document")
        }
        let (min, max) = (lower?.document ?? chunk.min, upper?.document ?? chunk.max)
        return (try space.range(min, max), min, max, ShardID(to))
    }

    /// Moves a range, and returns when that has ended.
    /// - Throws: `ChunkTooBig`, `ShardNotFound`, `ConflictingOperationInProgress`, `OperationFailed` with the reason
    ///   when it was given up.
    func moveRange(_ namespace: Namespace, _ body: Document, force: Bool) async throws -> Document {
        let begun = node.runtime.now
        let entry = try await gate.run { () -> MigrationEntry? in
            try await awaitReady()
            let placement = try await placement(namespace)
            let (range, min, max, to) = try moveRequest(placement, body)
            return try await begin(placement, range, min, max, to: to, forceJumbo: force)
        }
        guard let entry else { return ["millis": 0] }
        let end = try await finish(entry)
        guard case .committed = end.outcome else {
            throw ServerError(
                .operationFailed,
                "Data transfer error: the move of a range of \(namespace.fullName) from \(entry.task.donor) to "
                    + "\(entry.task.recipient) was given up: \(end.reason ?? "no reason is known any more")")
        }
        return ["millis": .int64((node.runtime.now - begun).wholeMilliseconds)]
    }

    /// Writes a migration down as live; nil when the range is where it is to be.
    func begin(
        _ placement: Placement, _ range: KeyRange, _ min: Document, _ max: Document, to recipient: ShardID,
        forceJumbo: Bool
    ) async throws -> MigrationEntry? {
        let namespace = placement.entry.name
        let target = try await shard(recipient)
        let index = try placement.table.checkMove(range, to: recipient, forceJumbo: forceJumbo)
        let donor = placement.table[index].shard
        if donor == recipient { return nil }
        guard placement.entry.allowsMigrations else {
            throw ServerError(
                .conflictingOperationInProgress,
                "Collection \(namespace.fullName) is undergoing changes so moveRange is not allowed")
        }
        guard !target.isDraining else {
            throw ServerError(.illegalOperation, "the shard \(recipient) is being drained: nothing is moved to it")
        }
        let busy = try await migrationEntries().filter { $0.outcome == nil }
        if let other = busy.first(where: { entry in
            [entry.task.donor, entry.task.recipient].contains { $0 == donor || $0 == recipient }
        }) {
            throw ServerError(
                .conflictingOperationInProgress,
                "Unable to start new balancer operation because a range of \(other.name.fullName) is being moved from "
                    + "\(other.task.donor) to \(other.task.recipient)")
        }
        let task: MigrationRegistry.Task = .init(
            donor: donor, recipient: recipient, range: range, epoch: placement.entry.epoch)
        let entry = MigrationEntry(
            MigrationID(CollectionUUID(node.runtime)), namespace, placement.entry.uuid, task, min: min, max: max)
        try await carryOut(registry.onRegister(entry.id, task), entry, nil)
        follow(entry)
        return entry
    }

    // MARK: Deciding

    /// Decides, or says what is decided: `{outcome: "committed", validAfter, major}`, `{outcome: "aborted"}` or
    /// `{outcome: "undecided"}`.
    func decide(_ id: MigrationID, _ request: MigrationRegistry.Request) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            let found = try await node.data.whenResident {
                try node.data.document(id.uuid.value, in: ConfigServer.migrations)
            }
            let entry = try found.map { document throws(ServerError) in try MigrationEntry(document) }
            var placement: Placement?
            if let entry, try await collection(entry.name)?.uuid == entry.uuid {
                placement = try await self.placement(entry.name)
            }
            // What must not move any more is not committed.
            let isForbidden = request == .commit && placement?.entry.allowsMigrations == false
            let directives = registry.onRequest(
                isForbidden ? .abort : request, id, placement?.table, now: try node.newTimestamp())
            return try await carryOut(directives, entry, placement)
        }
    }

    @discardableResult
    private func carryOut(
        _ directives: [MigrationRegistry.Directive], _ entry: MigrationEntry?, _ placement: Placement?
    ) async throws -> Document {
        for directive in directives {
            switch directive {
            case .answer(_, let outcome): return outcome.document
            case .answerUndecided: return ["outcome": "undecided"]
            case .ignored: break
            case .persist(let id, let record, let change):
                do { try await persist(id, record, change, entry, placement) } catch {
                    // What is stored is not known: it is found out anew, as by another primary.
                    if let entry { forget(entry.name) }
                    becamePrimary()
                    throw error
                }
                return try await carryOut(registry.onCommitted(id), entry, placement)
            }
        }
        return ["outcome": "undecided"]
    }

    private func persist(
        _ id: MigrationID, _ record: MigrationRegistry.Record, _ change: ChunkChange?, _ entry: MigrationEntry?,
        _ placement: Placement?
    ) async throws {
        var changes = DocumentChanges()
        var next = placement
        if var entry {
            if case .decided(let outcome) = record { entry.outcome = outcome }
            changes.put(ConfigServer.migrations, entry.document)
            if let change {
                var bounds: [[UInt8]: Document] = [entry.task.range.lower: entry.min]
                if let upper = entry.task.range.upper { bounds[upper] = entry.max }
                if let part = try next?.apply(
                    change, bounds: bounds, wall: node.runtime.wallClock, newID: node.data.newObjectID)
                {
                    changes.append(part)
                }
                changes.append(
                    logged(
                        "moveChunk.commit", entry.name,
                        [
                            "min": .document(entry.min), "max": .document(entry.max),
                            "from": .string(entry.task.donor.name), "to": .string(entry.task.recipient.name),
                        ]))
            }
        } else {
            // Of a migration that nobody knows: so that no later commit of it is one.
            let name = Namespace("", "")
            let nothing: MigrationRegistry.Task = .init(
                donor: ShardID(""), recipient: ShardID(""), range: .all, epoch: Epoch(.zero))
            var tombstone = MigrationEntry(
                id, name, CollectionUUID(high: 0, low: 0), nothing, min: Document(), max: Document())
            tombstone.outcome = .aborted
            changes.put(ConfigServer.migrations, tombstone.document)
        }
        try await node.commit(changes)
        if change != nil, let next { keep(next) }
    }

    // MARK: Following

    /// Sees to it that the donor goes on, whoever leads it.
    private func follow(_ entry: MigrationEntry) {
        guard followed[entry.id] == nil else { return }
        followed[entry.id] = Followed()
        let term = node.role.term
        node.runtime.spawn("migration") { [self] in
            await drive(entry, term)
            followed[entry.id]?.isOver = true
            migrationEnded.fire()
        }
    }

    private func drive(_ entry: MigrationEntry, _ term: Int64) async {
        let patience = node.runtime.now + Limits.migrationMax
        while node.takesWrites, node.role.term == term, !node.isStopped {
            do {
                let donor = try await shard(entry.task.donor)
                let recipient = try await shard(entry.task.recipient)
                let reply = try await link(donor).run { writer in
                    writer.append("_shardsvrMoveRange", entry.id.uuid)
                    MigrationTask(entry, recipient).append(to: writer)
                }
                if let reason = reply["reason"]?.asString { followed[entry.id]?.reason = reason }
                if reply["isOver"]?.asBool == true {
                    // It has ended there, and is decided; or was never begun by whoever leads now.
                    if try await decide(entry.id, .outcome)["outcome"]?.asString != "undecided" { return }
                }
            } catch let error as ServerError {
                followed[entry.id]?.reason = error.message
                let isRefused = [
                    ErrorCode.operationFailed, .conflictingOperationInProgress, .shardNotFound, .namespaceNotFound,
                    .commandNotFound,
                ].contains(error.code)
                if isRefused || node.runtime.now > patience { _ = try? await decide(entry.id, .abort) }
                if let decided = try? await decide(entry.id, .outcome), decided["outcome"]?.asString == "aborted",
                    isRefused
                {
                    return
                }
                await node.sleep(Limits.clusterRetryPause)
            } catch {
                node.runtime.log.log(.info, "sharding", "the migration \(entry.id): \(error)")
                await node.sleep(Limits.clusterRetryPause)
            }
        }
    }

    /// Waits for the end of a migration that this primary follows.
    func finish(_ entry: MigrationEntry) async throws -> (outcome: MigrationOutcome?, reason: String?) {
        while followed[entry.id]?.isOver == false {
            try node.checkTakesWrites()
            await migrationEnded.wait(until: node.runtime.now + Limits.migrationPoll)
        }
        let reason = followed.removeValue(forKey: entry.id)?.reason
        try node.checkTakesWrites()
        return (MigrationOutcome(try await decide(entry.id, .outcome)), reason)
    }

    /// A migration that this primary sees to.
    struct Followed {
        var isOver = false
        var reason: String?
    }
}

extension MigrationTask {
    /// As the donor is told it.
    init(_ entry: MigrationEntry, _ recipient: ShardEntry) {
        id = entry.id
        name = entry.name
        uuid = entry.uuid
        epoch = entry.task.epoch
        range = entry.task.range
        shard = recipient.id
        hosts = recipient.hosts
    }
}
