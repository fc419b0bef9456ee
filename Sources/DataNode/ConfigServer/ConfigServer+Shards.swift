internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// Which shards there are.
extension ConfigServer {
    /// Takes a replica set into the cluster as a shard. One member is enough to find the others.
    /// - Throws: `FailedToSatisfyReadPreference` when it cannot be reached; `OperationFailed` when it is no shard's
    ///   replica set, or has a database that is elsewhere; `IllegalOperation` when it is in this or another cluster.
    func addShard(_ text: String, name wanted: String?) async throws -> Document {
        guard let seeds = SetConnection(text) else {
            throw ServerError(
                .operationFailed,
                "A shard is added as <setname>/<server1>,<server2>,...; '\(text)' names no replica set")
        }
        return try await gate.run {
            try await awaitReady()
            let link = makeLink(seeds)
            defer { link.close() }
            let found = try await inspect(link, seeds)
            let hosts = SetConnection(setName: seeds.setName, hosts: found.hosts)
            for host in seeds.hosts where !hosts.hosts.contains(host) {
                throw ServerError(
                    .operationFailed,
                    "in seed list \(seeds), host \(host) does not belong to replica set \(seeds.setName); found "
                        + "\(hosts.hosts.joined(separator: ", "))")
            }
            let shards = try await shards()
            if let known = shards.first(where: { $0.hosts.setName == seeds.setName }) {
                guard wanted == nil || wanted == known.id.name, Set(known.hosts.hosts).isSubset(of: hosts.hosts) else {
                    throw ServerError(
                        .illegalOperation,
                        "A shard already exists containing the replica set '\(seeds.setName)': \(known.id)")
                }
                return ["shardAdded": .string(known.id.name)]
            }
            let name = ShardID(wanted ?? seeds.setName)
            guard !name.name.isEmpty, name.name != "config" else {
                throw ServerError(.badValue, "A shard cannot be named '\(name)'")
            }
            guard !shards.contains(where: { $0.id == name }) else {
                throw ServerError(.illegalOperation, "A shard named \(name) already exists with other members")
            }
            try await checkDatabases(found.databases, of: name)
            try await giveIdentity(name, to: link)
            try await writeShard(ShardEntry(name, hosts: hosts, topologyTime: try node.newTimestamp()), found.databases)
            return ["shardAdded": .string(name.name)]
        }
    }

    private struct Inspection {
        let hosts: [String]
        let databases: [String]
    }

    private func inspect(_ link: SetLink, _ seeds: SetConnection) async throws -> Inspection {
        for host in seeds.hosts {
            guard let hello = try? await link.hello(of: host) else { continue }
            if hello["msg"]?.asString == "isdbgrid" {
                throw ServerError(.illegalOperation, "Cannot add \(seeds) as a shard: \(host) is a router")
            }
            if hello["configsvr"] != nil {
                throw ServerError(
                    .operationFailed, "Cannot add \(seeds) as a shard since it is a config server")
            }
            guard let setName = hello["setName"]?.asString else {
                throw ServerError(
                    .operationFailed, "host \(host) is not a member of a replica set that is initiated: a shard is one")
            }
            guard setName == seeds.setName else {
                throw ServerError(
                    .operationFailed,
                    "the provided connection string (\(seeds)) does not match the actual set name \(setName)")
            }
        }
        let own = clusterID
        let reply: Document
        do throws(ServerError) {
            reply = try await link.run(patience: Limits.addShardPatience) { $0.append("_shardsvrInspect", int32: 1) }
        } catch {
            guard error.code == .commandNotFound || error.code == .commandNotSupported else { throw error }
            throw ServerError(
                .operationFailed,
                "Cannot add \(seeds) as a shard: its members were not started with --role shard")
        }
        if let other = reply["clusterId"]?.asObjectID, other != own {
            throw ServerError(
                .illegalOperation, "Cannot add \(seeds) as a shard: it belongs to the cluster \(other)")
        }
        return Inspection(
            hosts: (reply["hosts"]?.asArray ?? []).compactMap(\.asString),
            databases: (reply["databases"]?.asArray ?? []).compactMap(\.asString))
    }

    private func checkDatabases(_ names: [String], of shard: ShardID) async throws {
        for entry in try await entries(DatabaseEntry.self) where names.contains(entry.name) && entry.primary != shard {
            throw ServerError(
                .operationFailed,
                "can't add shard '\(shard)' because a local database '\(entry.name)' exists in another \(entry.primary)"
            )
        }
    }

    private func giveIdentity(_ name: ShardID, to link: SetLink) async throws {
        guard let clusterID else { throw ServerError(.notYetInitialized, "the cluster has no identity yet") }
        let config = ownConnection.description
        _ = try await link.run { writer in
            writer.append("_shardsvrSetIdentity", int32: 1)
            writer.append("shardName", string: name.name)
            writer.append("clusterId", objectID: clusterID)
            writer.append("configsvrConnectionString", string: config)
        }
    }

    private func writeShard(_ shard: ShardEntry, _ databases: [String]) async throws {
        var changes = DocumentChanges()
        changes.put(ShardEntry.namespace, shard.document)
        let known = Set(try await entries(DatabaseEntry.self).map(\.name))
        for name in databases where !known.contains(name) {
            let entry = DatabaseEntry(
                name, primary: shard.id, uuid: CollectionUUID(node.runtime),
                version: DatabaseVersion(Epoch(try node.newTimestamp()), lastMod: 1))
            changes.put(DatabaseEntry.namespace, entry.document)
        }
        changes.append(logged("addShard", nil, ["name": .string(shard.id.name), "host": .string("\(shard.hosts)")]))
        try await node.commit(changes)
    }

    /// `listShards`.
    func listShards() async throws -> Document {
        ["shards": .array(try await shards().map { .document($0.document) })]
    }

    /// A line of `config.changelog`, to be written with what it is about.
    func logged(_ what: String, _ namespace: Namespace?, _ details: Document) -> DocumentChanges {
        var changes = DocumentChanges()
        let wall = node.runtime.wallClock.milliseconds
        let host = node.frontend.advertisedName
        let id = "\(host)-\(wall)-\(node.data.newObjectID())"
        changes.put(
            Namespace("config", "changelog"),
            Document { writer in
                writer.append("_id", string: id)
                writer.append("server", string: host)
                writer.append("time", dateTime: wall)
                writer.append("what", string: what)
                writer.append("ns", string: namespace?.fullName ?? "")
                writer.append("details", details)
            })
        return changes
    }
}
