internal import BSON
internal import Core
internal import Data
internal import Sharding

/// The balancer's settings: `config.settings`, and the flags of single collections.
extension ConfigServer {
    static let settingsNamespace = Namespace("config", "settings")

    func settings() async throws -> BalancerSettings {
        try BalancerSettings(
            try await node.data.whenResident { try node.data.documents(in: ConfigServer.settingsNamespace) })
    }

    /// `balancerStart`, `balancerStop`.
    func setBalancer(isStopped: Bool) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            let id = Value.string("balancer")
            let old = try await node.data.whenResident {
                try node.data.document(id, in: ConfigServer.settingsNamespace)
            }
            let next = Document { writer in
                writer.append("_id", id)
                for (key, value) in old?.fields ?? [] where !["_id", "stopped", "mode"].contains(key) {
                    writer.append(key, value)
                }
                writer.append("mode", string: isStopped ? "off" : "full")
                writer.append("stopped", bool: isStopped)
            }
            var changes = DocumentChanges()
            changes.put(ConfigServer.settingsNamespace, next)
            try await node.commit(changes)
            balancer.wake()
            return Document()
        }
    }

    /// `configureCollectionBalancing`, as far as it is there: chunk size and whether to balance at all.
    func configureBalancing(_ namespace: Namespace, _ body: Document) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            var placement = try await placement(namespace)
            if let size = body["chunkSize"] {
                guard let megabytes = size.asNumber, megabytes >= 0, megabytes <= 1024 else {
                    throw ServerError(.invalidOptions, "The chunk size must be from 0 to 1024 megabytes")
                }
                placement.entry.maxChunkSizeBytes = megabytes == 0 ? nil : Int64((megabytes * 1_048_576).rounded())
            }
            if let enabled = body["enableBalancing"]?.asBool { placement.entry.isNotBalanced = !enabled }
            if let allowed = body["allowMigrations"]?.asBool { placement.entry.allowsMigrations = allowed }
            var changes = DocumentChanges()
            changes.put(CollectionEntry.namespace, placement.entry.document)
            do { try await node.commit(changes) } catch {
                forget(namespace)
                throw error
            }
            keep(placement)
            return Document()
        }
    }
}
