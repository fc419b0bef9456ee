internal import BSON
internal import Core
internal import Data
internal import Sharding

/// `drop` and `dropDatabase` of what is sharded.
///
/// The collection leaves the catalog in the same step in which it is written down that shards are to drop it. From then
/// on the drop goes on until every shard has done it, whoever leads the config servers.
extension ConfigServer {
    /// Drops a collection. One that is not sharded is dropped by its shard: that is no error here.
    func dropCollection(_ namespace: Namespace) async throws -> Document {
        let id = try await gate.run { () -> Value? in
            try await awaitReady()
            if let pending = try await pendingDrop(of: namespace) { return pending["_id"] }
            guard let entry = try await collection(namespace) else { return nil }
            guard try await liveMigrations(of: entry.uuid).isEmpty else {
                throw ServerError(
                    .conflictingOperationInProgress,
                    "a range of \(namespace.fullName) is being moved: it cannot be dropped before that has ended")
            }
            let id = Value.objectID(node.data.newObjectID())
            var changes = try await removal(of: entry)
            changes.put(
                ConfigServer.coordinators,
                Document { writer in
                    writer.append("_id", id)
                    writer.append("kind", string: "drop")
                    writer.append("ns", string: namespace.fullName)
                    writer.append("uuid", entry.uuid)
                })
            changes.append(logged("dropCollection", namespace, ["uuid": entry.uuid.value]))
            try await node.commit(changes)
            forget(namespace)
            return id
        }
        guard let id else { return Document() }
        try await finishDrop(id)
        return ["ns": .string(namespace.fullName)]
    }

    private func removal(of entry: CollectionEntry) async throws -> DocumentChanges {
        var changes = DocumentChanges()
        changes.delete(CollectionEntry.namespace, .string(entry.name.fullName))
        for chunk in try await find(ChunkEntry.namespace, ["uuid": entry.uuid.value]) {
            if let id = chunk["_id"] { changes.delete(ChunkEntry.namespace, id) }
        }
        for zone in try await find(ZoneEntry.namespace, ["ns": .string(entry.name.fullName)]) {
            if let id = zone["_id"] { changes.delete(ZoneEntry.namespace, id) }
        }
        return changes
    }

    /// Drops a database with all its collections.
    func dropDatabase(_ name: String) async throws -> Document {
        let id = try await gate.run { () -> Value? in
            try await awaitReady()
            let pending = try await node.data.whenResident { try node.data.documents(in: ConfigServer.coordinators) }
            if let pending = pending.first(where: { $0["database"]?.asString == name }) { return pending["_id"] }
            guard let database = try await entry(DatabaseEntry.self, .string(name)) else { return nil }
            let collections = try await entries(CollectionEntry.self).filter { $0.name.database == name }
            for entry in collections {
                guard try await liveMigrations(of: entry.uuid).isEmpty else {
                    throw ServerError(
                        .conflictingOperationInProgress,
                        "a range of \(entry.name.fullName) is being moved: the database cannot be dropped before that "
                            + "has ended")
                }
            }
            let id = Value.objectID(node.data.newObjectID())
            var changes = DocumentChanges()
            for entry in collections { changes.append(try await removal(of: entry)) }
            changes.delete(DatabaseEntry.namespace, .string(name))
            changes.put(
                ConfigServer.coordinators,
                Document { writer in
                    writer.append("_id", id)
                    writer.append("kind", string: "dropDatabase")
                    writer.append("database", string: name)
                    writer.append("version", database.version.document)
                })
            changes.append(logged("dropDatabase", Namespace(name, ""), Document()))
            try await node.commit(changes)
            for entry in collections { forget(entry.name) }
            return id
        }
        guard let id else { return Document() }
        try await finishDrop(id)
        return ["dropped": .string(name)]
    }

    /// Has every shard do it, and forgets the coordinator.
    private func finishDrop(_ id: Value) async throws {
        guard let task = try await node.data.whenResident({ try node.data.document(id, in: ConfigServer.coordinators) })
        else { return }
        for shard in try await shards() {
            _ = try await link(shard).run(timeout: Limits.clusterLongCallTimeout) { writer in
                if let name = task["database"]?.asString {
                    writer.append("_shardsvrDropDatabase", string: name)
                } else {
                    writer.append("_shardsvrDropCollection", string: task["ns"]?.asString ?? "")
                    if let uuid = task["uuid"] { writer.append("uuid", uuid) }
                }
            }
        }
        var changes = DocumentChanges()
        changes.delete(ConfigServer.coordinators, id)
        try await node.commit(changes)
    }

    /// Goes on with what an earlier primary, or an earlier try, has left.
    func resumeCoordinators() {
        let term = node.role.term
        node.runtime.spawn("coordinators") { [self] in
            while node.takesWrites, node.role.term == term, !node.isStopped {
                let pending =
                    (try? await node.data.whenResident { try node.data.documents(in: ConfigServer.coordinators) }) ?? []
                for task in pending {
                    guard let id = task["_id"] else { continue }
                    do { try await finishDrop(id) } catch {
                        node.runtime.log.log(.info, "sharding", "a drop goes on later: \(error)")
                    }
                }
                await node.sleep(Limits.coordinatorPause)
            }
        }
    }
}
