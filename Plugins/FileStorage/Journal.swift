import BSON
import Core

/// The journal of a store: every batch, in order, in files that are only ever written at the end. Confined to the loop.
///
/// Group commit: one write is under way at a time, on a helper thread; what is appended meanwhile goes with the next,
/// as one frame.
final class Journal {
    private let runtime: any NodeRuntime
    private let writer: JournalWriter
    private let interval: Duration

    /// What is appended next goes here, the other is being written.
    private let gathered = ByteBuffer(capacity: 64 * 1024)
    private let inFlight = ByteBuffer(capacity: 64 * 1024)
    private var gatheredCount: UInt32 = 0
    /// Number of the last batch.
    private(set) var last: UInt64
    /// Number of the last batch that survives a power cut.
    private(set) var durable: UInt64
    /// Where what is written ends.
    private(set) var end: JournalPosition
    /// Numbers of the segments in use, oldest first.
    private var segments: [UInt64]
    /// Those that are to be used again.
    private var unused: [UInt64] = []

    private var isWriting = false
    private var isClosing = false
    private var isClosed = false
    private var isMarked = true
    private var timer: TimerToken?
    private var retryTimer: TimerToken?
    private var idleWaiters: [UnsafeContinuation<Void, Never>] = []
    private var waiters: [(mark: UInt64, continuation: UnsafeContinuation<(any Error)?, Never>)] = []

    /// Why nothing is written any more, for good.
    private(set) var failure: DiskError?
    /// No file for the next segment can be had: the disk is full.
    private(set) var isFull: Bool { didSet { if isFull != oldValue { onFull?(isFull) } } }
    var onFull: ((Bool) -> Void)?
    var onFailure: ((DiskError) -> Void)?
    /// Something was written.
    var onWritten: (() -> Void)?
    private(set) var bytesWritten: Int64 = 0
    private(set) var bytesSinceCheckpoint = 0
    private(set) var syncs: Int64 = 0

    init(
        _ runtime: any NodeRuntime, _ writer: JournalWriter, _ begun: JournalWriter.Outcome, last: UInt64,
        interval: Duration
    ) {
        self.runtime = runtime
        self.writer = writer
        self.interval = interval
        self.last = last
        durable = last
        end = begun.end
        segments = begun.begun
        isFull = !begun.hasReserve
    }

    /// Everybody who wants to be told can be.
    func start() {
        guard isFull else { return }
        onFull?(true)
        scheduleRetry()
    }

    /// Bytes that wait to be written.
    var waitingBytes: Int { gathered.count + inFlight.count }

    // MARK: Writing

    @inline(__always)
    func append(_ batch: WriteBatch) {
        batch.appendFlat(to: gathered)
        gatheredCount += 1
        last += 1
        if gathered.count >= Limits.journalGatherBytes { return write() }
        if timer == nil { scheduleWrite() }
    }

    private func scheduleWrite() {
        timer = runtime.schedule(after: interval) { [weak self] in
            guard let self else { return }
            timer = nil
            write()
        }
    }

    /// Returns when everything up to `mark` is durable.
    /// - Throws: `DiskError` when it never will be.
    func flush(upTo mark: UInt64) async throws {
        guard mark > durable else { return }
        let error = await withUnsafeContinuation { (continuation: UnsafeContinuation<(any Error)?, Never>) in
            if let failure { return continuation.resume(returning: failure) }
            waiters.append((mark, continuation))
            write()
        }
        if let error { throw error }
    }

    /// Writes what was gathered, or a mark when there is nothing and the last sync has no witness.
    private func write() {
        guard !isWriting, failure == nil, !isClosed, inFlight.count > 0 || gathered.count > 0 || !isMarked else {
            return
        }
        isWriting = true
        if inFlight.count == 0 {
            inFlight.exchange(with: gathered)
            inFlightCount = gatheredCount
            gatheredCount = 0
        }
        let (first, count) = (last - UInt64(gatheredCount) - UInt64(inFlightCount) + 1, inFlightCount)
        let content = Confined(inFlight.bytes)
        let free = unused
        let result = JobResult<JournalWriter.Outcome, DiskError>()
        // The buffer is not touched until the completion has run.
        runtime.offload { [writer] in
            result.run { () throws(DiskError) in
                try writer.write(content.value, first: first, count: count, sync: count > 0, unused: free)
            }
        } completion: { [self] in
            isWriting = false
            unused.removeFirst(free.count)
            finish(result.take(), through: first + UInt64(count) - 1, isMark: count == 0)
        }
    }

    private var inFlightCount: UInt32 = 0

    private func finish(_ result: Result<JournalWriter.Outcome, DiskError>, through: UInt64, isMark: Bool) {
        switch result {
        case .success(let outcome):
            isMarked = isMark
            segments += outcome.begun
            end = outcome.end
            bytesWritten += Int64(outcome.bytes)
            bytesSinceCheckpoint += outcome.bytes
            isFull = !outcome.hasReserve
            if !isMark {
                syncs += 1
                durable = through
            }
            inFlight.removeAll(keeping: 4 << 20)
            inFlightCount = 0
            let done = waiters.filter { $0.mark <= durable }
            waiters.removeAll { $0.mark <= durable }
            for waiter in done { waiter.continuation.resume(returning: nil) }
            onWritten?()
        case .failure(let error) where error.kind == .full && !isClosing:
            // Nothing that was promised is lost: the frame is written again when there is room.
            isFull = true
        case .failure(let error): fail(error)
        }
        settle()
    }

    private func fail(_ error: DiskError) {
        failure = error
        let failed = waiters
        waiters.removeAll()
        for waiter in failed { waiter.continuation.resume(returning: error) }
        onFailure?(error)
    }

    /// A job has ended: goes on with what has come meanwhile.
    private func settle() {
        let waiting = idleWaiters
        idleWaiters.removeAll()
        for waiter in waiting { waiter.resume() }
        guard failure == nil, !isClosed else { return }
        if isFull { scheduleRetry() }
        // A frame that did not fit waits for the retry.
        guard inFlight.count == 0 else { return }
        if !waiters.isEmpty || gathered.count >= Limits.journalGatherBytes {
            write()
        } else if timer == nil, gathered.count > 0 || !isMarked {
            scheduleWrite()
        }
    }

    // MARK: A full disk

    private func scheduleRetry() {
        guard retryTimer == nil else { return }
        retryTimer = runtime.schedule(after: Limits.diskFullRetry) { [weak self] in
            guard let self else { return }
            retryTimer = nil
            retry()
        }
    }

    private func retry() {
        guard isFull, !isClosed, failure == nil else { return }
        if isWriting { return scheduleRetry() }
        if inFlight.count > 0 { return write() }
        isWriting = true
        let free = unused
        let result = JobResult<Bool, DiskError>()
        runtime.offload { [writer] in
            result.run { () throws(DiskError) in try writer.retryReserve(unused: free) }
        } completion: { [self] in
            isWriting = false
            unused.removeFirst(free.count)
            switch result.take() {
            case .success(let hasReserve): isFull = !hasReserve
            case .failure(let error): fail(error)
            }
            settle()
        }
    }

    // MARK: Checkpoints

    /// A checkpoint has everything up to `end`: segments before that one are used again.
    func checkpointed(to end: JournalPosition) {
        while let first = segments.first, first < end.segment { unused.append(segments.removeFirst()) }
    }

    func beginCheckpoint() { bytesSinceCheckpoint = 0 }

    /// The last flush is about to be asked for: what does not fit is not waited for any more.
    func beginClose() {
        isClosing = true
        write()
    }

    /// Stops writing. What is under way ends.
    func close() async {
        isClosed = true
        if let timer { runtime.cancel(timer) }
        if let retryTimer { runtime.cancel(retryTimer) }
        guard isWriting else { return }
        await withUnsafeContinuation { idleWaiters.append($0) }
    }
}
