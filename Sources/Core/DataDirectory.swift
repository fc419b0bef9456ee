/// The directory of a storage engine that keeps files (`StorageEngine.directory`). A node has files of its own there,
/// beside those of the engine, which leaves them alone.
public struct DataDirectory: Sendable {
    /// Where it is.
    public let disk: any Disk
    /// The directory, which is there once the engine is open.
    public let path: String

    /// The directory at `path` of `disk`.
    public init(_ disk: any Disk, _ path: String) {
        self.disk = disk
        self.path = path
    }

    /// Names in it that are the node's: an engine that finds nothing but these has an empty directory.
    public static let namesOfNodes: Set<String> = ["rollback"]

    /// What the holder of the directory has locked.
    public var lock: String { "\(path)/lock" }
    /// Below it lie the documents that rollbacks have taken back.
    public var rollback: String { "\(path)/rollback" }

    /// Makes the directory if need be and takes its lock. A process that has just been killed may still be held to have
    /// it, so it is tried for a while.
    /// - Parameters:
    ///   - name: names the holder to those who come later.
    ///   - runtime: waits, and does the disk's work off its loop.
    /// - Throws: `StorageDamage` when another holds it, `DiskError`.
    public func takeLock(_ name: String, _ runtime: any NodeRuntime) async throws -> any DiskLock {
        let deadline = runtime.now + Limits.directoryLockWait
        while true {
            do {
                return try await runtime.onHelper {
                    try disk.makeDirectory(path)
                    return try disk.lock(lock, note: name)
                }
            } catch let error as DiskError where error.kind == .locked {
                guard runtime.now < deadline else {
                    throw StorageDamage("\(path) is in use: \(error.reason). Each member needs a directory of its own")
                }
                await runtime.sleep(for: .milliseconds(50))
            }
        }
    }
}
