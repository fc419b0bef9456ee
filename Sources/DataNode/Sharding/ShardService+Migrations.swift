internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication
internal import Sharding

/// Migrations that this shard takes part in: begun, found again by a new primary, answered for.
extension ShardService {
    /// Goes on with what an earlier primary has left.
    func recoverMigrations() {
        let term = node.role.term
        recoveredTerm = nil
        officeSince = node.runtime.now
        givenUpAt = [:]
        node.runtime.spawn("migrations") { [self] in
            do {
                let found = try await node.data.whenResident { try node.data.documents(in: MigrationTask.namespace) }
                guard node.takesWrites, node.role.term == term else { return }
                recoveredTerm = term
                for document in found { try recover(document) }
                deleter.wake()
            } catch {
                node.runtime.log.log(.error, "sharding", "migrations cannot be gone on with: \(error)")
            }
        }
    }

    private func recover(_ document: Document) throws {
        let task = try MigrationTask(document)
        let checkpoint = document["checkpoint"]?.asDocument ?? Document()
        if document["role"]?.asString == "donor" {
            let donor = DonorTask(task, self)
            donors[task.id] = donor
            donor.recover(
                try MigrationDonor.Checkpoint(checkpoint), entry: OpTime(reading: checkpoint["entry"]))
        } else {
            let recipient = RecipientTask(task, self)
            recipients[task.id] = recipient
            recipient.recover(try MigrationRecipient.Checkpoint(checkpoint))
        }
    }

    func interruptMigrations() {
        recoveredTerm = nil
        deleter.interrupt()
        let (donors, recipients) = (donors, recipients)
        self.donors = [:]
        self.recipients = [:]
        for (_, donor) in donors.sorted(by: { $0.key < $1.key }) { donor.interrupt() }
        for (_, recipient) in recipients.sorted(by: { $0.key < $1.key }) { recipient.interrupt() }
        longWritesChanged.fire()
    }

    func donorEnded(_ task: DonorTask) {
        donors[task.task.id] = nil
        ownerships.changed.fire()
    }

    func recipientEnded(_ task: RecipientTask) {
        recipients[task.task.id] = nil
        ownerships.changed.fire()
    }

    /// Ranges of a collection that are on their way here.
    func incoming(of uuid: CollectionUUID, except: MigrationID?) -> [KeyRange] {
        recipients.values.filter { $0.task.uuid == uuid && $0.task.id != except }.map(\.task.range)
    }

    /// The oldest time that a read may still ask for.
    var oldestRead: Timestamp {
        let seconds = Int64(node.runtime.wallClock.seconds) - Limits.historyWindow.wholeMilliseconds / 1000
        return Timestamp(seconds: UInt32(clamping: seconds), increment: 0)
    }

    /// What the config servers have decided; nil while they have not.
    func outcome(of id: MigrationID) async throws -> MigrationOutcome? {
        let reply = try await config().run { writer in
            writer.append("_configsvrDecideMigration", id.uuid)
            writer.append("request", string: "outcome")
        }
        return MigrationOutcome(reply)
    }

    /// A request knows of a move whose outcome has not come here.
    func askForOutcomes(of namespace: Namespace) {
        for (_, recipient) in recipients.sorted(by: { $0.key < $1.key }) where recipient.task.name == namespace {
            recipient.askOutcome()
        }
    }

    private func checkRecovered() throws(ServerError) {
        guard recoveredTerm == node.role.term else {
            throw ServerError(.notWritablePrimary, "the primary has not found its migrations yet")
        }
    }

    /// As the recipient has to know it: the other shard is this one.
    func describing(_ task: MigrationTask, to writer: DocumentWriter) {
        let own = node.replication?.member.config?.members.map(\.host) ?? []
        MigrationTask(
            task, seenFrom: ownerships.shard, SetConnection(setName: node.options.replicaSetName ?? "", hosts: own)
        )
        .append(to: writer)
    }

    // MARK: The donor

    /// Gives a range away, or says how far that is: `{isOver, reason?}`.
    func donate(_ body: Document) async throws -> Document {
        try checkRecovered()
        let task = try MigrationTask(body, id: "_shardsvrMoveRange")
        if donors[task.id] == nil {
            guard try await outcome(of: task.id) == nil else { return ["isOver": true] }
            try checkRecovered()
            if donors[task.id] == nil { try await begin(task) }
        }
        guard let donor = donors[task.id] else { return ["isOver": true] }
        await donor.ended.wait(until: node.runtime.now + Limits.migrationPoll)
        return Document { writer in
            writer.append("isOver", bool: donor.isOver && node.takesWrites)
            if let reason = donor.reason { writer.append("reason", string: reason) }
        }
    }

    private func begin(_ task: MigrationTask) async throws {
        // A shard that was told of the collection only may not know it yet.
        if try await node.data.whenResident({ try ownerships.collection(task.uuid) }) == nil {
            try await learn(task.name)
        }
        try await node.data.whenResident {
            guard let owned = try ownerships.collection(task.uuid), owned.table.version.epoch == task.epoch else {
                throw ServerError(.operationFailed, "\(task.name.fullName) is not sharded here as the move says")
            }
            guard task.range.subtracting(owned.table.current.map(\.range)).isEmpty else {
                throw ServerError(.operationFailed, "the shard does not own the range of \(task.name.fullName)")
            }
        }
        guard donors.isEmpty, recipients.isEmpty else {
            throw ServerError(
                .conflictingOperationInProgress,
                "Unable to start new balancer operation because this shard is currently moving another range")
        }
        let donor = DonorTask(task, self)
        donors[task.id] = donor
        donor.start()
    }

    // MARK: The recipient

    /// Takes a range, or says how far that is: `{steady, failure?}`.
    func receive(_ body: Document) async throws -> Document {
        try checkRecovered()
        let task = try MigrationTask(body, id: "_shardsvrReceive")
        if recipients[task.id] == nil {
            guard try await outcome(of: task.id) == nil else { return ["failure": "the migration is decided"] }
            guard donors.isEmpty, recipients.isEmpty else {
                return ["failure": .string("the recipient is moving another range")]
            }
            do { try await prepare(task) } catch let error as ServerError
            where !error.code.isStateChange && error.code != .exceededTimeLimit {
                return ["failure": .string(error.message)]
            }
            try checkRecovered()
            if recipients[task.id] == nil {
                guard donors.isEmpty, recipients.isEmpty else {
                    return ["failure": .string("the recipient is moving another range")]
                }
                let recipient = RecipientTask(task, self)
                recipients[task.id] = recipient
                recipient.start()
            }
        }
        guard let recipient = recipients[task.id] else { return Document() }
        let deadline = node.runtime.now + Limits.migrationPoll
        while !recipient.isSteady, recipient.failure == nil, !recipient.isOver, node.runtime.now < deadline {
            await recipient.changed.wait(until: deadline)
        }
        return Document { writer in
            writer.append("steady", bool: recipient.isSteady)
            if let failure = recipient.failure { writer.append("failure", string: failure) }
        }
    }

    /// Makes ready for a range: the definition, a table to own it in, and nothing left of an earlier stay.
    private func prepare(_ task: MigrationTask) async throws {
        try await takeDefinition(task.name, task.uuid, from: task.hosts)
        let known = try await node.data.whenResident { try ownerships.collection(task.uuid) }
        if known?.table.version.epoch != task.epoch { try await learn(task.name) }
        try await node.data.whenResident {
            guard let owned = try ownerships.collection(task.uuid), owned.table.version.epoch == task.epoch else {
                throw ServerError(.operationFailed, "\(task.name.fullName) is not sharded as the move says")
            }
            guard !owned.table.current.contains(where: { $0.range.overlaps(task.range) }) else {
                throw ServerError(.operationFailed, "the recipient owns some of the range already")
            }
        }
        try await deleter.finish(overlapping: task.range, of: task.uuid)
        // What else is in the way belongs to nobody.
        try await deleter.delete(task.range, of: task.uuid)
    }

    /// `{drained?: OpTime, failure?}`.
    func drain(_ body: Document) async throws -> Document {
        try checkRecovered()
        let id = try MigrationID(reading: body["_shardsvrDrain"])
        guard let recipient = recipients[id] else { return ["failure": "the recipient does not know the migration"] }
        guard let through = OpTime(reading: body["through"]) else {
            throw ServerError(.badValue, "up to where to drain was not said")
        }
        recipient.drain(through: through)
        let deadline = node.runtime.now + Limits.migrationPoll
        while (recipient.drained ?? .null) < through, recipient.failure == nil, !recipient.isOver,
            node.runtime.now < deadline
        {
            await recipient.changed.wait(until: deadline)
        }
        return Document { writer in
            if let drained = recipient.drained { writer.append("drained", drained) }
            if let failure = recipient.failure { writer.append("failure", string: failure) }
        }
    }

    /// `{settled}`.
    func settle(_ body: Document) async throws -> Document {
        try checkRecovered()
        let id = try MigrationID(reading: body["_shardsvrSettle"])
        guard let outcome = MigrationOutcome(body) else { throw ServerError(.badValue, "the outcome was not said") }
        guard let recipient = recipients[id] else { return ["settled": true] }
        let deadline = node.runtime.now + Limits.migrationPoll
        while !recipient.isOver, node.runtime.now < deadline {
            recipient.event(.decided(outcome))
            await recipient.changed.wait(until: min(deadline, node.runtime.now + Limits.clusterRetryPause))
        }
        return ["settled": .bool(recipient.isSettled)]
    }

    // MARK: Long operations

    /// What takes more than one slice begins; a write behind a closing that is under way.
    func beginLongOperation(_ operation: LongOperation, on connection: ClientConnection) async -> UInt64 {
        let deadline = node.runtime.now + Limits.multiWritesMax
        while operation.isWrite, heldWrites.contains(operation.uuid), node.runtime.now < deadline,
            !connection.isAbandoned
        {
            await longWritesChanged.wait(until: deadline, on: connection)
        }
        nextLongOperation += 1
        longOperations[nextLongOperation] = operation
        return nextLongOperation
    }

    func endLongOperation(_ id: UInt64) {
        longOperations[id] = nil
        longWritesChanged.fire()
    }

    private func hasLongWrites(_ uuid: CollectionUUID) -> Bool {
        longOperations.values.contains { $0.isWrite && $0.uuid == uuid }
    }

    /// Whether something is under way that began before a time.
    func hasOperations(on uuid: CollectionUUID, since time: Instant) -> Bool {
        longOperations.values.contains { $0.uuid == uuid && $0.since < time }
    }

    /// Lets no further long writes begin, and waits until those under way have ended.
    /// - Returns: whether they have.
    func awaitMultiWrites(_ uuid: CollectionUUID, until deadline: Instant) async -> Bool {
        heldWrites.insert(uuid)
        while hasLongWrites(uuid), node.runtime.now < deadline { await longWritesChanged.wait(until: deadline) }
        return !hasLongWrites(uuid)
    }

    func allowMultiWrites(_ uuid: CollectionUUID) {
        guard heldWrites.remove(uuid) != nil else { return }
        longWritesChanged.fire()
    }

    // MARK: Sizes

    /// `{collections: [{uuid, bytes, count}]}`: of what is here, orphans included.
    func sizes() throws -> Document {
        let all = try ownerships.all
        return Document { writer in
            writer.array("collections") { array in
                for owned in all {
                    guard let collection = node.data.catalog.find(owned.collection.uuid) else { continue }
                    array.document {
                        $0.append("uuid", owned.collection.uuid)
                        $0.append("bytes", int64: Int64(collection.dataBytes))
                        $0.append("count", int64: Int64(collection.count))
                    }
                }
            }
            writer.append("moving", bool: !donors.isEmpty || !recipients.isEmpty)
            writer.array("databases") { array in
                for name in node.data.catalog.databases where !["admin", "config", "local"].contains(name) {
                    array.append(string: name)
                }
            }
        }
    }
}

/// An operation of a router that takes more than one slice.
struct LongOperation {
    let uuid: CollectionUUID
    let isWrite: Bool
    let since: Instant
}

extension MigrationTask {
    /// The same migration, with another shard as the other one.
    init(_ task: MigrationTask, seenFrom shard: ShardID, _ hosts: SetConnection) {
        id = task.id
        name = task.name
        uuid = task.uuid
        epoch = task.epoch
        range = task.range
        self.shard = shard
        self.hosts = hosts
    }
}
