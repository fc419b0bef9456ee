import CRocks
import Core

/// Writes what was applied to RocksDB, off the loop: one job at a time, what is applied meanwhile goes with the next.
/// Confined to the loop.
///
/// RocksDB holds up whoever writes while its compactions lag behind, and syncs in the call. Both happen on the helper
/// thread only: until it is through, reads find the batches in memory (`CRocks`), and their size is what tells writers
/// to wait (`waitingBytes`). So neither a rate that the library has set nor a full stop has to be asked for.
final class RocksDBWriter {
    private let runtime: any NodeRuntime
    /// `crocks_store *`.
    private let store: OpaquePointer
    private let mark: DurableMarkFile
    private let directory: String
    private let interval: Duration

    /// Number of the last batch that survives a power cut.
    private(set) var durable: UInt64
    private var isWriting = false
    private var isClosing = false
    private var isClosed = false
    private var timer: TimerToken?
    private var retryTimer: TimerToken?
    private var idleWaiters: [UnsafeContinuation<Void, Never>] = []
    private var waiters: [(mark: UInt64, continuation: UnsafeContinuation<(any Error)?, Never>)] = []

    /// Why nothing is written any more, for good.
    private(set) var failure: (any Error)?
    /// The disk has no room for what is to be written.
    private(set) var isFull = false { didSet { if isFull != oldValue { onFull?(isFull) } } }
    var onFull: ((Bool) -> Void)?
    var onFailure: ((any Error) -> Void)?
    /// A job has ended well.
    var onWritten: (() -> Void)?
    private(set) var syncs: Int64 = 0
    /// As they were when the last job ended.
    private(set) var properties = crocks_properties()

    init(
        _ runtime: any NodeRuntime, _ store: OpaquePointer, _ mark: DurableMarkFile, directory: String,
        interval: Duration
    ) {
        self.runtime = runtime
        self.store = store
        self.mark = mark
        self.directory = directory
        self.interval = interval
        durable = crocks_last(store)
    }

    /// Number of the last batch.
    var last: UInt64 { crocks_applied(store) }
    /// Bytes that wait to be written.
    var waitingBytes: Int { crocks_waiting_bytes(store) }

    /// A batch was applied.
    @inline(__always)
    func applied() {
        if isWriting || isFull {
            // One that grew further would be moved in memory as a whole.
            if crocks_unsealed_bytes(store) >= Limits.writeGenerationBytes { crocks_seal(store) }
        } else if crocks_unsealed_bytes(store) >= Limits.journalGatherBytes {
            write()
        } else if timer == nil {
            scheduleWrite()
        }
    }

    private func scheduleWrite() {
        timer = runtime.schedule(after: interval) { [weak self] in
            guard let self else { return }
            timer = nil
            write()
        }
    }

    /// Returns when everything up to `mark` is durable.
    /// - Throws: why it never will be.
    func flush(upTo mark: UInt64) async throws {
        guard mark > durable else { return }
        let error = await withUnsafeContinuation { (continuation: UnsafeContinuation<(any Error)?, Never>) in
            if let failure { return continuation.resume(returning: failure) }
            waiters.append((mark, continuation))
            write()
        }
        if let error { throw error }
    }

    /// What a job says of its end.
    private final class Outcome: @unchecked Sendable {
        // Written by the job, read when it has ended.
        var properties = crocks_properties()
        var failure: (any Error)?
    }

    /// Writes what there is, unless a job is under way.
    private func write() {
        guard !isWriting, failure == nil, !isClosed, let job = crocks_write_begin(store) else { return }
        isWriting = true
        let through = crocks_write_last(job)
        let outcome = Outcome()
        let confined = Confined((job, directory, store, isFull))
        runtime.offload { [mark] in
            let (job, directory, store, wasFull) = confined.value
            do {
                if wasFull { crocks_resume(store) }
                if let failure = RocksDBFailure.of({ crocks_write_run(job, &outcome.properties, $0) }) {
                    throw failure.error("writing to", directory)
                }
                try mark.write(through)
            } catch {
                outcome.failure = error
            }
        } completion: { [self] in
            isWriting = false
            crocks_write_end(store, job)
            properties = outcome.properties
            finish(outcome.failure, through: through)
        }
    }

    private func finish(_ error: (any Error)?, through: UInt64) {
        if let error {
            if !isClosing, (error as? DiskError)?.kind == .full {
                // Nothing that was promised is lost: it is written again when there is room.
                isFull = true
            } else {
                fail(error)
            }
        } else {
            isFull = false
            syncs += 1
            durable = max(durable, through)
            let done = waiters.filter { $0.mark <= durable }
            waiters.removeAll { $0.mark <= durable }
            for waiter in done { waiter.continuation.resume(returning: nil) }
            onWritten?()
        }
        settle()
    }

    private func fail(_ error: any Error) {
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
        guard failure == nil, !isClosed, !isWriting else { return }
        if isFull { return scheduleRetry() }
        if !waiters.isEmpty || waitingBytes >= Limits.journalGatherBytes {
            write()
        } else if timer == nil, last > durable {
            scheduleWrite()
        }
    }

    private func scheduleRetry() {
        guard retryTimer == nil else { return }
        retryTimer = runtime.schedule(after: Limits.diskFullRetry) { [weak self] in
            guard let self else { return }
            retryTimer = nil
            write()
        }
    }

    // MARK: Closing

    /// Writes everything that is left, counts of tables included. What does not fit is not waited for.
    func finishWriting() async throws {
        isClosing = true
        await endOfWriting()
        write()
        await endOfWriting()
        if let failure { throw failure }
    }

    /// Stops writing. What is under way ends.
    func close() async {
        isClosed = true
        if let timer { runtime.cancel(timer) }
        if let retryTimer { runtime.cancel(retryTimer) }
        await endOfWriting()
    }

    private func endOfWriting() async {
        while isWriting { await withUnsafeContinuation { idleWaiters.append($0) } }
    }
}
