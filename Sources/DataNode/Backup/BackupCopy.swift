internal import BSON
public import Core
internal import Data
internal import Frontend
internal import Replication

/// A copy of a running member's data, as they are at one point in time, in a storage engine that was empty.
///
/// It is an initial sync without a member: collections with their documents and the records of retryable writes are
/// cloned while the source goes on, and what it writes meanwhile is applied up to an entry that a majority has. The
/// database `local` is not copied, and with it neither identity nor votes nor configuration; the oplog begins where the
/// copy does. Until a new set is made of it, a mark keeps the copy from being started as a member (`BackupMark`).
public final class BackupCopy {
    /// What was copied.
    public struct Summary: Sendable {
        /// Of the replica set.
        public let setName: String
        /// The member that was copied.
        public let source: Endpoint
        /// The last entry that the copy holds.
        public let optime: OpTime
        /// When that was written.
        public let wall: WallTime
        /// How many collections there are.
        public let collections: Int
        /// How many documents they hold.
        public let documents: Int
        /// Entries that were applied behind the clone.
        public let entries: Int64
    }

    let node: Node
    private let setName: String
    private let source: Endpoint
    private let incarnation: Incarnation
    private var sync: InitialSync?
    private var result: Result<Void, any Error>?
    private var waiter: UnsafeContinuation<Void, Never>?
    /// Since when the source has not answered.
    private var isLost = false

    /// - Parameters:
    ///   - runtime: on whose loop all of it happens.
    ///   - transport: reaches the source.
    ///   - engine: empty, and not open.
    ///   - setName: of the set that the source belongs to.
    ///   - source: any member that can be read.
    public init(
        _ runtime: any NodeRuntime, _ transport: any Transport, _ engine: any StorageEngine, setName: String,
        source: Endpoint
    ) {
        self.setName = setName
        self.source = source
        incarnation = Incarnation(startedAt: runtime.wallClock, nonce: runtime.randomNumber())
        var options = NodeOptions(endpoint: Endpoint(host: "backup", port: 1))
        // Keeps history, as members of a set do.
        options.replicaSetName = setName
        node = Node(runtime: runtime, transport: transport, engine: engine, options: options)
    }

    /// Copies. The engine is closed when this returns, or throws.
    /// - Throws: `ServerError` or `BackupFailure` saying why there is no backup; what the storage engine throws.
    public func run() async throws -> Summary {
        node.onFailure = { [weak self] in self?.end(.failure($0)) }
        try await node.data.versions.open()
        do {
            let summary = try await copy()
            await node.data.versions.close()
            return summary
        } catch {
            sync?.cancel()
            await node.data.versions.close()
            throw error
        }
    }

    /// Ends it: `run` throws.
    public func cancel() { end(.failure(BackupFailure("it was cancelled"))) }

    private func copy() async throws -> Summary {
        let data = node.data
        try await data.whenResident { try data.load() }
        try mark(at: .null)
        try await data.durability.settle()
        let sync = InitialSync(host: self)
        self.sync = sync
        sync.start()
        if result == nil { await withUnsafeContinuation { waiter = $0 } }
        try result?.get()
        let last = node.lastOpTime
        try data.onCommitPoint(last)
        try mark(at: last)
        try await data.durability.flush()
        let collections = data.catalog.collections.filter { $0.kind == .replicated }
        return Summary(
            setName: setName, source: source, optime: last, wall: data.lastEntryWall, collections: collections.count,
            documents: collections.reduce(0) { $0 + $1.count }, entries: sync.progress.appliedEntries)
    }

    private func mark(at optime: OpTime) throws {
        let wall = optime.isNull ? node.runtime.wallClock : node.data.lastEntryWall
        try BackupMark(setName: setName, source: "\(source)", optime: optime, takenAt: wall).store(node.data)
    }

    private func end(_ result: Result<Void, any Error>) {
        guard self.result == nil else { return }
        self.result = result
        sync?.cancel()
        waiter?.resume()
        waiter = nil
    }
}

/// Why there is no backup.
public struct BackupFailure: Error, CustomStringConvertible, Sendable {
    /// In a sentence.
    public let description: String
    /// A failure with that description.
    public init(_ description: String) { self.description = description }
}

extension BackupCopy: InitialSyncHost {
    var isCountedVoter: Bool { false }
    /// Nothing is applied behind the entry at which the copy is whole: a majority may not have it.
    var ownDelay: Duration { .seconds(1) }
    func initialSyncSource() -> String? { "\(source)" }
    /// There is no other.
    func isUp(_ host: String) -> Bool { true }
    func denySource(_ host: String) {}

    func makeLink(to host: String) -> PeerLink {
        PeerLink(runtime: node.runtime, transport: node.transport, endpoint: source) { [setName, incarnation] in
            Introduction(setName: setName, memberID: nil, incarnation: incarnation, isBackup: true).encode(to: $0)
        }
    }

    func onNoAnswer(_ error: ServerError, _ outage: inout SourceOutage) -> SourceOutage.Verdict {
        let verdict = outage.onNoAnswer(error, atMost: Limits.backupOutageMax, now: node.runtime.now)
        if case .giveUp = verdict { isLost = true }
        return verdict
    }

    /// A source that has rolled back can be copied again, one that is not there cannot.
    func mayTryAgain(_ why: String, attempt: Int) -> Bool {
        if !isLost, attempt < Limits.backupAttemptsMax, result == nil { return true }
        end(.failure(BackupFailure("\(source) could not be copied: \(why)")))
        return false
    }

    func discardData() async throws {}

    func initialSyncFinished(_ sync: InitialSync) { end(.success(())) }
}
