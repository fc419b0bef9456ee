internal import BSON
internal import Core
internal import Data
internal import Sharding

/// What a shard is told when it asks where a collection is, because a request knows more than it.
extension ConfigServer {
    /// `{database?, collection?, placement?, primary?}` as of now: no later change is answered with less.
    ///
    /// It waits for changes under way, and for a majority: an answer that something is *not* there lets the shard
    /// forget it.
    func describe(_ namespace: Namespace, for shard: ShardID) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            let message: Document = ["msg": "placement asked for"]
            let context = try node.ownWriteContext()
            let optime = try message.withView { try node.data.appendNoOp($0, context) }
            try await node.awaitMajority(optime)
            guard try await pendingDrop(of: namespace) == nil else {
                throw ServerError(
                    .conflictingOperationInProgress, "the collection \(namespace.fullName) is being dropped")
            }
            let database = try await entry(DatabaseEntry.self, .string(namespace.database))
            var reply = Document()
            if let database {
                reply.append("database", .document(database.document))
                if let primary = try await entry(ShardEntry.self, .string(database.primary.name)) {
                    reply.append("primary", .string(primary.hosts.description))
                }
            }
            if try await collection(namespace) != nil {
                let placement = try await placement(namespace)
                reply.append("collection", .document(placement.entry.document))
                reply.append("placement", .document(placement.ownership(of: shard)))
            }
            return reply
        }
    }

    /// The drop of a collection that has not come to its end on all shards.
    func pendingDrop(of namespace: Namespace) async throws -> Document? {
        let all = try await node.data.whenResident { try node.data.documents(in: ConfigServer.coordinators) }
        return all.first {
            $0["ns"]?.asString == namespace.fullName || $0["database"]?.asString == namespace.database
        }
    }

    /// What has begun on the config servers and is to come to its end on the shards.
    static let coordinators = Namespace("config", "shardingCoordinators")
}
