public import Core

/// What of a node survives a power cut, and who waits for it.
///
/// Batches have marks (`StorageEngine.appliedMark`), entries have optimes; a flush that has ended says of both how far
/// they are durable. Whoever needs that, a vote, a configuration, a write with `j: true`, the commit point, asks here.
/// One flush is under way at a time; what is written meanwhile goes with the next, so that many waits share a sync.
///
/// A flush that fails is the end: after it nobody knows what is on the disk. Nothing is called durable any more, and
/// `onFailure` stops the node.
public final class Durability {
    private typealias Waiter = (id: UInt64, mark: UInt64, done: (Result<Void, any Error>) -> Void)

    private let versions: VersionStore
    private let oplog: Oplog
    private let runtime: any NodeRuntime
    /// Called after a flush, when those who waited for it have been told.
    public var onAdvance: (() -> Void)?
    /// Called when a flush has failed.
    public var onFailure: ((any Error) -> Void)?

    /// In the order of their marks.
    private var waiters: [Waiter] = []
    private var nextWaiter: UInt64 = 0
    private var isFlushing = false
    private var failure: (any Error)?
    /// The newest entry that a flush has covered.
    private var flushed = OpTime.null
    /// Counts how often entries were taken back: a flush that began before says nothing of those that follow.
    private var branch: UInt64 = 0

    init(_ versions: VersionStore, _ oplog: Oplog, _ runtime: any NodeRuntime) {
        self.versions = versions
        self.oplog = oplog
        self.runtime = runtime
    }

    /// Whether everything written so far is durable. With a volatile engine it always is, for as long as it lasts.
    public var isCurrent: Bool { failure == nil && versions.durableMark >= versions.appliedMark }

    /// The newest entry of the oplog that is durable.
    public var optime: OpTime {
        let last = oplog.last ?? .null
        return isCurrent ? last : min(last, flushed)
    }

    /// The first thing after the store was opened: what was found may be in a cache of the machine only, and counts as
    /// durable when it is flushed.
    public func settle() async throws {
        if runtime.hasMutant(.foundIsDurable) { return flushed = oplog.last ?? .null }
        try await flush()
        noteCurrent()
    }

    /// An engine may sync of itself, or have nothing to sync.
    private func noteCurrent() { if isCurrent { flushed = oplog.last ?? .null } }

    /// Begins to make durable what is not, unless that is under way. `onAdvance` tells when it is done.
    public func request() {
        noteCurrent()
        guard !isFlushing, failure == nil, versions.durableMark < versions.appliedMark else { return }
        isFlushing = true
        runtime.spawn("flush") { [weak self] in await self?.run() }
    }

    /// Calls `body` when everything written so far is durable: at once where it is, never when the flush fails.
    public func whenDurable(_ body: @escaping () -> Void) {
        guard !isCurrent else { return body() }
        _ = wait { if case .success = $0 { body() } }
    }

    /// Returns when everything written so far is durable.
    public func flush() async throws {
        guard !isCurrent else { return }
        let result = await withUnsafeContinuation {
            (continuation: UnsafeContinuation<Confined<Result<Void, any Error>>, Never>) in
            _ = wait { continuation.resume(returning: Confined($0)) }
        }
        try result.value.get()
    }

    /// Calls `body` with true when everything written so far is durable, with false when `deadline` comes before that.
    public func whenDurable(until deadline: Instant, _ body: @escaping (Bool) -> Void) {
        guard !isCurrent else { return body(true) }
        wait(until: deadline) { result in
            switch result {
            case .success: body(true)
            case .failure: break
            case nil: body(false)
            }
        }
    }

    // MARK: A disk that is behind

    /// Whether so much waits for the disk that no more should be written before `catchUp`: what waits is memory.
    public var isBehind: Bool { versions.engine.raw.isBehind }

    /// Whether there is no room: writes are refused until there is.
    public var isFull: Bool { versions.engine.writeRefusal != nil }

    /// Returns at once, or when what the disk is behind with is durable; at `deadline`, or when the disk fails, at the
    /// latest.
    public func catchUp(until deadline: Instant = .distantFuture) async {
        guard isBehind else { return }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            wait(until: deadline) { _ in continuation.resume() }
        }
    }

    // MARK: Waiting

    /// Calls `done` with nil when `deadline` comes first.
    private func wait(until deadline: Instant, _ done: @escaping (Result<Void, any Error>?) -> Void) {
        var timer: TimerToken?
        let id = wait { [runtime] result in
            if let timer { runtime.cancel(timer) }
            done(result)
        }
        guard let id, deadline < .distantFuture else { return }
        timer = runtime.schedule(at: deadline) { [weak self] in
            guard let self, let place = waiters.firstIndex(where: { $0.id == id }) else { return }
            waiters.remove(at: place)
            done(nil)
        }
    }

    /// Returns the waiter's number; nil when it was told at once.
    private func wait(_ done: @escaping (Result<Void, any Error>) -> Void) -> UInt64? {
        if let failure {
            done(.failure(failure))
            return nil
        }
        nextWaiter += 1
        waiters.append((nextWaiter, versions.appliedMark, done))
        request()
        return nextWaiter
    }

    private func run() async {
        let (last, branch) = (oplog.last ?? .null, branch)
        do {
            try await versions.flush()
        } catch {
            return fail(error)
        }
        isFlushing = false
        if branch == self.branch { flushed = max(flushed, last) }
        let durable = versions.durableMark
        let due = waiters.prefix { $0.mark <= durable }
        waiters.removeFirst(due.count)
        for waiter in due { waiter.done(.success(())) }
        onAdvance?()
        if !waiters.isEmpty { request() }
    }

    private func fail(_ error: any Error) {
        failure = error
        let failed = waiters
        waiters = []
        for waiter in failed { waiter.done(.failure(error)) }
        onFailure?(error)
    }

    /// Entries behind `common` are taken back, or all are thrown away.
    func entriesTakenBack(behind common: OpTime) {
        flushed = min(flushed, common)
        branch += 1
    }
}
