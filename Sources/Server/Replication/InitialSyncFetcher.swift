internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Fetches the source's oplog while an initial sync clones, so that nothing is missing when the clone is through,
/// however little the source keeps.
///
/// What comes waits in a buffer. While that is full nothing is asked for; the source, which learns with each request
/// how far this member is, keeps what is still to be fetched, within limits of its own (`OplogPins`).
final class InitialSyncFetcher {
    private let sync: InitialSync
    /// A connection of its own: requests that wait for new entries would hold up the clone.
    let link: PeerLink
    let buffer: InitialSyncBuffer
    private var last: OpTime
    private var hasFirst = false
    private var isStopped = false
    /// Why nothing more will come.
    private(set) var failure: (any Error)?
    /// Something was added to the buffer or removed from it, or nothing more will come.
    private let changed: LoopSignal

    /// - Parameter begin: the first entry to fetch.
    init(_ sync: InitialSync, _ link: PeerLink, from begin: OpTime) throws {
        self.sync = sync
        self.link = link
        last = begin
        let runtime = sync.node.runtime
        changed = LoopSignal(runtime: runtime)
        let bytesMax = runtime.buggified("small initial sync buffer", Limits.initialSyncBufferBytes, 2000)
        buffer = try InitialSyncBuffer(sync.node.data, bytesMax: bytesMax)
    }

    func start() {
        sync.node.runtime.spawn("initial sync: oplog") { [self] in
            do {
                while !isStopped { try await fetch() }
            } catch {
                guard !isStopped else { return }
                failure = error
                changed.fire()
                sync.fetcherFailed()
            }
        }
    }

    func stop() {
        isStopped = true
        link.close()
        changed.fire()
    }

    private func fetch() async throws {
        while buffer.isFull {
            sync.node.runtime.probe("initial sync's buffer was full")
            await changed.wait(until: .distantFuture)
            if isStopped { return }
        }
        let request = FetchOplogRequest(
            .initialSync(isInclusive: !hasFirst), after: last, knownCommitPoint: sync.committedAtSource,
            awaitMillis: 1000)
        try await sync.ask(request, over: link) { try take($0) }
    }

    private func take(_ reply: FetchOplogReply) throws {
        if isStopped { return }
        try sync.note(reply.metadata)
        switch reply.answer {
        case .entries: if let frame = reply.frame { try add(frame) }
        case .nothingNew: break
        case .behind, .stale, .diverged:
            throw InitialSync.Failure("the source no longer has the entries that were written while it was cloned")
        }
    }

    private func add(_ frame: UnsafeRawBufferPointer) throws {
        // What is damaged is found out now, while it can still be fetched.
        var end = OpTime.null
        try sync.node.openFetched(frame) { entry in
            if let base = entry.baseAddress, let optime = OpTime(DocumentView(base: base)) { end = optime }
        }
        guard end > last || !hasFirst && end == last else {
            throw InitialSync.Failure("a batch that does not go on behind \(last)")
        }
        try buffer.append(frame)
        last = end
        hasFirst = true
        noteChange()
    }

    /// Waits until there is a frame in the buffer.
    /// - Throws: why none will come.
    func awaitFrame() async throws {
        while buffer.isEmpty {
            if let failure { throw failure }
            guard !isStopped else { throw InitialSync.Failure("cancelled") }
            await changed.wait(until: .distantFuture)
        }
    }

    func removeFrame() throws {
        try buffer.removeFirst()
        noteChange()
    }

    private func noteChange() {
        sync.progress.bufferedBytes = buffer.byteCount
        changed.fire()
    }
}
