internal import BSON
internal import Core
internal import Data
internal import Sharding

/// Copies a range from its donor: all documents first, then whatever was changed since, again and again, and what
/// sessions have done when the donor's writes are closed.
///
/// Everything is read at or below the donor's commit point, so nothing is copied that the donor could still take back.
/// Documents are sent as they are, not as changes, so that any batch may come twice.
final class RangeCopy {
    private let task: MigrationTask
    private unowned let shard: ShardService
    private let upToCommitPoint: Bool
    private var collection: Collection?
    private var space: ShardKeySpace?

    init(_ task: MigrationTask, _ shard: ShardService, upToCommitPoint: Bool) {
        self.task = task
        self.shard = shard
        self.upToCommitPoint = upToCommitPoint
    }

    private var node: Node { shard.node }
    private var donor: SetLink { shard.other(task.hosts) }

    /// Goes on until `mayStore` says no.
    /// - Parameters:
    ///   - sessionsUpTo: what the donor's writes are closed at; nil while they are not.
    ///   - caughtUp: the documents of everything up to an entry of the donor's are stored; whether little is missing;
    ///     whether what sessions have done is stored, too.
    func run(
        mayStore: () -> Bool, sessionsUpTo: () -> OpTime?, caughtUp: (OpTime, Bool, Bool) -> Void
    ) async throws {
        let owned = try await node.data.whenResident { try shard.ownerships.collection(task.uuid) }
        guard let owned, let collection = node.data.catalog.find(task.uuid) else {
            throw ServerError(.namespaceNotFound, "\(task.name.fullName) is not here to copy into")
        }
        space = owned.space
        self.collection = collection
        var through = try await clone(mayStore)
        while mayStore() {
            // Asked before the entries are read: what they show covers it.
            let closed = sessionsUpTo()
            let reply = try await ask("_shardsvrTailRange") { writer in
                writer.append("after", through)
                writer.append("awaitMillis", int32: closed == nil ? 200 : 20)
            }
            if reply["changesDefinition"]?.asBool == true {
                throw ServerError(.operationFailed, "the definition of \(task.name.fullName) has changed meanwhile")
            }
            guard let next = OpTime(reading: reply["through"]) else {
                throw ServerError(.failedToParse, "the donor has not said how far it has sent")
            }
            try await store(
                (reply["documents"]?.asArray ?? []).compactMap(\.asDocument), reply["gone"]?.asArray ?? [], mayStore)
            through = next
            let isDrained = closed.map { through >= $0 } ?? false
            if isDrained { try await takeSessions(mayStore) }
            guard mayStore() else { return }
            caughtUp(through, reply["isNear"]?.asBool ?? false, isDrained)
        }
    }

    private func ask(
        _ name: StaticString, _ build: @escaping (DocumentWriter) -> Void
    ) async throws -> Document {
        try await donor.run(timeout: Limits.clusterCallTimeout) { [task, upToCommitPoint] writer in
            writer.append(name, task.id.uuid)
            task.append(to: writer)
            if !upToCommitPoint { writer.append("uncommitted", bool: true) }
            build(writer)
        }
    }

    /// Copies all documents. Returns the entry from behind which on changes have to follow.
    private func clone(_ mayStore: () -> Bool) async throws -> OpTime {
        var since: OpTime?
        var resume = Document()
        while mayStore() {
            let behind = resume
            let reply = try await ask("_shardsvrCloneRange") { $0.append("resume", behind) }
            if since == nil { since = OpTime(reading: reply["point"]) }
            try await store((reply["documents"]?.asArray ?? []).compactMap(\.asDocument), [], mayStore)
            guard let next = reply["resume"]?.asDocument else { break }
            resume = next
        }
        return since ?? .null
    }

    private func store(_ documents: [Document], _ gone: [Value], _ mayStore: () -> Bool) async throws {
        guard let space, let collection else { return }
        let range = task.range
        var index = 0
        while index < max(documents.count, gone.isEmpty ? 0 : 1) {
            let end = min(index + Limits.migrationStoreDocuments, documents.count)
            let part = Array(documents[index..<end])
            let deleted = index == 0 ? gone : []
            try await node.data.whenResident {
                // In the step that stores: an abort may have come since the donor has answered.
                guard mayStore() else { return }
                let owned = try shard.ownerships.collection(task.uuid)
                try node.data.storeCopies(
                    part, deleting: deleted, in: collection, try node.ownWriteContext(),
                    isOfRange: { (try? space.position(of: $0)).map(range.contains) ?? false },
                    isOwned: { owned?.owns($0, at: nil) ?? false })
            }
            index = max(end, index + 1)
            try await node.endSlice()
            // Copying is not to outrun the majority.
            while node.data.isMajorityBehind, mayStore() { await node.sleep(Limits.migrationPause) }
        }
    }

    private func takeSessions(_ mayStore: () -> Bool) async throws {
        var behind: [UInt8] = []
        while mayStore() {
            let from = behind
            let reply = try await ask("_shardsvrSessions") { $0.append("behind", .binary(subtype: 0, from)) }
            var changes = DocumentChanges()
            for run in (reply["runs"]?.asArray ?? []).compactMap(\.asDocument) {
                changes.put(MigratedSessions.namespace, run)
            }
            try await node.data.whenResident {
                guard mayStore() else { return }
                try node.data.make(changes, try node.ownWriteContext())
            }
            guard case .binary(_, let next)? = reply["next"] else { return }
            behind = next
        }
    }
}

/// What sessions have executed on shards that have given ranges to this one: documents of `config.shard.sessions`.
final class MigratedSessions: MigratedStatements {
    static let namespace = Namespace("config", "shard.sessions")
    private unowned let node: Node
    private var seen: UInt64?
    private var runs: [[UInt8]: [MigratedRun]] = [:]

    init(_ node: Node) { self.node = node }

    func outcome(_ session: [UInt8], _ transactionNumber: Int64, _ statement: Int32) throws -> StatementOutcome? {
        guard let collection = node.data.catalog.find(MigratedSessions.namespace), collection.count > 0 else {
            return nil
        }
        if seen != node.data.ownershipChanges {
            runs = [:]
            for document in try node.data.documents(in: MigratedSessions.namespace) {
                let run = try document.withView { try MigratedRun($0) }
                runs[run.session, default: []].append(run)
            }
            seen = node.data.ownershipChanges
        }
        for run in runs[session] ?? [] where run.transactionNumber == transactionNumber {
            if let outcome = run.outcome(of: statement) { return outcome }
        }
        return nil
    }
}
