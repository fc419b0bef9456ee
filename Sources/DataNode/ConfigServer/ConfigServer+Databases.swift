internal import BSON
internal import Core
internal import Data
internal import Sharding

/// Which databases there are, and where what is not sharded of them is.
extension ConfigServer {
    /// The database, made when there is none.
    /// - Throws: `IllegalOperation` for one of the server's own, `NamespaceExists` for one that is on another shard
    ///   than it is wanted on, `DatabaseDifferCase`, `ShardNotFound`.
    func createDatabase(_ name: String, on wanted: ShardID?) async throws -> DatabaseEntry {
        try Namespace.checkDatabase(name)
        guard !["admin", "config", "local"].contains(name) else {
            throw ServerError(.illegalOperation, "The database '\(name)' cannot be on a shard")
        }
        return try await gate.run {
            try await awaitReady()
            return try await createDatabaseAlone(name, on: wanted)
        }
    }

    /// The same for who is alone already.
    func createDatabaseAlone(_ name: String, on wanted: ShardID?) async throws -> DatabaseEntry {
        if let wanted { _ = try await shard(wanted) }
        let databases = try await entries(DatabaseEntry.self)
        if let known = databases.first(where: { $0.name == name }) {
            guard wanted == nil || wanted == known.primary else {
                throw ServerError(
                    .namespaceExists, "Database \(name) already exists, with the primary shard \(known.primary)")
            }
            // It may be as new as the last command, and not everywhere yet.
            try await node.awaitMajority(node.lastOpTime)
            return known
        }
        if let other = databases.first(where: { $0.name.lowercased() == name.lowercased() }) {
            throw ServerError(
                ErrorCode(rawValue: 13297),
                "db already exists with different case: have: [\(other.name)] trying to "
                    + "create [\(name)]")
        }
        let primary: ShardID
        if let wanted { primary = wanted } else { primary = try await leastUsedShard(databases) }
        let entry = DatabaseEntry(
            name, primary: primary, uuid: CollectionUUID(node.runtime),
            version: DatabaseVersion(Epoch(try node.newTimestamp()), lastMod: 1))
        var changes = DocumentChanges()
        changes.put(DatabaseEntry.namespace, entry.document)
        changes.append(
            logged(
                "createDatabase", Namespace(name, ""), ["database": .string(name), "primary": .string(primary.name)])
        )
        try await node.commit(changes)
        return entry
    }

    /// The database of a name.
    /// - Throws: `NamespaceNotFound`.
    func database(_ name: String) async throws -> DatabaseEntry {
        guard let entry = try await entry(DatabaseEntry.self, .string(name)) else {
            throw ServerError(.namespaceNotFound, "database \(name) not found")
        }
        return entry
    }

    /// Where a new database goes: the shard with the fewest, the first by name of several; none that is drained.
    private func leastUsedShard(_ databases: [DatabaseEntry]) async throws -> ShardID {
        let possible = try await shards().filter { !$0.isDraining }.map(\.id)
        let counts = Dictionary(grouping: databases, by: \.primary).mapValues(\.count)
        guard let least = possible.min(by: { (counts[$0] ?? 0, $0) < (counts[$1] ?? 0, $1) }) else {
            throw ServerError(.shardNotFound, "No shards found: add one with addShard before there can be databases")
        }
        return least
    }
}
