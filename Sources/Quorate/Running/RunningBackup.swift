public import Core
public import DataNode
internal import FileStorage
internal import LiveRuntime
internal import SocketTransport

/// A backup that is being taken: the data of a running member, copied into a directory of file storage.
public final class RunningBackup: Sendable {
    private let loop: EventLoop
    /// Touched on the loop only.
    private let copy: Confined<BackupCopy>

    private init(_ loop: EventLoop, _ copy: Confined<BackupCopy>) {
        self.loop = loop
        self.copy = copy
    }

    /// Prepares to copy a member over sockets.
    /// - Parameters:
    ///   - source: where the member listens.
    ///   - setName: of the set that it belongs to.
    ///   - directory: does not exist, or is empty.
    ///   - log: takes lines that say how far it is.
    public static func prepare(
        from source: Endpoint, setName: String, into directory: String, log: any LogSink & Sendable
    ) async throws -> RunningBackup {
        let loop = try EventLoop.start(name: "backup", log: log)
        let copy = try await loop.call {
            let runtime = LiveRuntime(loop: loop, log: log)
            return Confined(
                BackupCopy(
                    runtime, SocketTransport(runtime: runtime),
                    FileStorage(runtime, LiveDisk(), directory: directory, name: "a backup"), setName: setName,
                    source: source))
        }
        return RunningBackup(loop, copy)
    }

    /// Copies, and closes the directory.
    /// - Throws: `BackupFailure`, `ServerError`, `StorageDamage`, `DiskError`: there is no backup then.
    public func run() async throws -> BackupCopy.Summary {
        do {
            let summary = try await loop.callAsync { [copy] in try await copy.value.run() }
            await loop.shutdown()
            return summary
        } catch {
            await loop.shutdown()
            throw error
        }
    }

    /// Ends it: `run` throws.
    public func cancel() async { try? await loop.call { [copy] in copy.value.cancel() } }
}
