internal import BSON
internal import Core
internal import Data
internal import Sharding

/// The config servers' side of migrations.
extension ConfigServer {
    static let migrations = Namespace("config", "migrations")

    /// Migrations of a collection that are not decided.
    func liveMigrations(of uuid: CollectionUUID) async throws -> [Document] {
        try await node.data.whenResident { try node.data.documents(in: ConfigServer.migrations) }
            .filter { $0["uuid"] == uuid.value && $0["state"]?.asString == "live" }
    }
}
