internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Fetches the source's oplog while an initial sync clones: carries out what `CloneFetch` decides.
final class InitialSyncFetcher {
    private let sync: InitialSync
    /// A connection of its own: requests that wait for new entries would hold up the clone.
    let link: PeerLink
    let buffer: InitialSyncBuffer
    private var fetch: CloneFetch
    private var isStopped = false
    /// Why nothing more will come.
    private(set) var failure: (any Error)?
    /// Something was added to the buffer or removed from it, or nothing more will come.
    private let changed: LoopSignal

    /// - Parameter begin: the first entry to fetch.
    init(_ sync: InitialSync, _ link: PeerLink, from begin: OpTime) throws {
        self.sync = sync
        self.link = link
        fetch = CloneFetch(from: begin)
        let runtime = sync.node.runtime
        changed = LoopSignal(runtime: runtime)
        let bytesMax = runtime.buggified("small initial sync buffer", Limits.initialSyncBufferBytes, 2000)
        buffer = try InitialSyncBuffer(sync.node.data, bytesMax: bytesMax)
    }

    func start() {
        sync.node.runtime.spawn("initial sync: oplog") { [self] in
            do {
                while !isStopped {
                    for directive in ready() { try await perform(directive) }
                }
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

    private func ready() -> [CloneFetch.Directive] {
        fetch.onReady(isFull: buffer.isFull, knownCommitPoint: sync.committedAtSource)
    }

    private func perform(_ directive: CloneFetch.Directive) async throws {
        switch directive {
        case .awaitRoom: await changed.wait(until: .distantFuture)
        case .request(let request): try await sync.ask(request, over: link) { try take($0) }
        case .probe(let name): sync.node.runtime.probe(name)
        case .fail(let why): throw InitialSync.Failure(why)
        case .openFrame, .store, .goOn: break
        }
    }

    private func take(_ reply: FetchOplogReply) throws {
        if isStopped { return }
        try sync.confirm(reply.metadata)
        for directive in fetch.onAnswer(reply.answer) {
            switch directive {
            case .openFrame: if let frame = reply.frame { try take(frame) }
            case .fail(let why): throw InitialSync.Failure(why)
            case .awaitRoom, .request, .store, .goOn, .probe: break
            }
        }
    }

    private func take(_ frame: UnsafeRawBufferPointer) throws {
        // What is damaged is found out now, while it can still be fetched.
        var end = OpTime.null
        try sync.node.openFetched(frame) { entry in
            if let base = entry.baseAddress, let optime = OpTime(DocumentView(base: base)) { end = optime }
        }
        for directive in fetch.onFrame(end: end) {
            switch directive {
            case .store:
                try buffer.append(frame)
                noteChange()
            case .fail(let why): throw InitialSync.Failure(why)
            case .awaitRoom, .request, .openFrame, .goOn, .probe: break
            }
        }
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
