internal import Core
public import BSON
internal import DataNode
internal import FileStorage
internal import LiveRuntime

/// A data directory that is looked at while no member uses it. Nothing in it is changed.
public struct StorageInspection: Sendable {
    private let node: RunningNode

    /// Reads the directory, with every checksum in it.
    /// - Parameters:
    ///   - directory: a member's own.
    ///   - log: takes lines that say how far it is.
    /// - Throws: `StorageDamage` saying what is wrong; `DiskError`.
    public static func open(_ directory: String, log: any LogSink & Sendable) async throws -> StorageInspection {
        var options = NodeOptions(endpoint: Endpoint(host: "inspection", port: 1))
        options.isInspection = true
        options.storageName = "file"
        let network = LoopbackTransportNetwork()
        let node = try await RunningNode.start(name: "inspection", log: log) { [options] runtime in
            Node(
                runtime: runtime, transport: network.makeTransport(runtime, node: "inspection"),
                engine: FileStorage(
                    runtime, LiveDisk(), directory: directory, name: "an inspection", access: .inspect),
                options: options)
        }
        return StorageInspection(node: node)
    }

    /// Runs a command on what the directory holds.
    public func run(_ command: Document, database: String) async throws -> Document {
        try await node.withAsync { await $0.run(command, database: database) }
    }

    /// Gives the directory back.
    public func close() async { await node.stop() }
}
