import CUV
import Core

extension EventLoop {
    // MARK: From any thread

    /// Runs `body` on the loop, soon. Does nothing when the loop has been shut down.
    public func perform(_ body: @escaping @Sendable () -> Void) { mailbox.post(body) }

    /// Runs `body` on the loop and hands back what it returns or throws.
    /// - Throws: `EventLoopError.stopped`, and what `body` throws.
    public func call<Answer: Sendable>(_ body: @escaping @Sendable () throws -> Answer) async throws -> Answer {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Answer, any Error>) in
            let wasTaken = mailbox.post { [self] in
                let answer = Result { try body() }
                outsideLeakGuard { continuation.resume(with: answer) }
            }
            if !wasTaken { continuation.resume(throwing: EventLoopError.stopped) }
        }
    }

    /// Runs `body` as a task on the loop and hands back what it returns or throws. When the loop ends first, so does
    /// the call: a `body` that waits for what the loop will not do any more is left behind.
    /// - Throws: `EventLoopError.stopped`, and what `body` throws.
    public func callAsync<Answer: Sendable>(
        _ body: @escaping @Sendable () async throws -> Answer
    ) async throws -> Answer {
        try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Answer, any Error>) in
            let wasTaken = mailbox.post { [self] in
                lastCall += 1
                let id = lastCall
                openCalls[id] = { [self] error in outsideLeakGuard { continuation.resume(throwing: error) } }
                Task(executorPreference: self) { [self] in
                    let answer: Result<Answer, any Error>
                    do { answer = .success(try await body()) } catch { answer = .failure(error) }
                    guard openCalls.removeValue(forKey: id) != nil else { return }
                    outsideLeakGuard { continuation.resume(with: answer) }
                }
            }
            if !wasTaken { continuation.resume(throwing: EventLoopError.stopped) }
        }
    }

    // MARK: Helper threads

    /// Runs `work` on a thread of libuv's pool (shared by the process) and then `completion` on the loop.
    func offload(_ work: @escaping @Sendable () -> Void, completion: @escaping () -> Void) {
        let request = UnsafeMutablePointer<uv_work_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(OffloadedWork(work, completion)).toOpaque()
        let status = uv_queue_work(
            uv, request,
            { Unmanaged<OffloadedWork>.fromOpaque($0!.pointee.data).takeUnretainedValue().work() },
            { request, _ in
                let loop = EventLoop.of(request!.pointee.loop)
                let offloaded = Unmanaged<OffloadedWork>.fromOpaque(request!.pointee.data).takeRetainedValue()
                request!.deallocate()
                loop.callbackBegan()
                offloaded.completion()
                loop.callbackEnded()
            })
        precondition(status == 0, "the work function is never null")
    }
}

/// Carries an offloaded piece of work to a helper thread and back.
private final class OffloadedWork {
    let work: @Sendable () -> Void
    /// Called and released on the loop only.
    let completion: () -> Void

    init(_ work: @escaping @Sendable () -> Void, _ completion: @escaping () -> Void) {
        self.work = work
        self.completion = completion
    }
}
