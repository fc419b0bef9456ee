import CUV
public import Core

/// What a loop has to do next: a closure, or the next step of a task.
enum LoopWork {
    case body(() -> Void)
    case job(UnownedJob)
}

extension EventLoop {
    // MARK: Queue

    /// Calls `body` before the loop polls again, behind what is already queued.
    public func enqueue(_ body: @escaping () -> Void) { queue.append(.body(body)) }

    /// The next step of a task that lives here. From any thread.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isOnLoop { queue.append(.job(job)) } else { mailbox.post(job) }
    }

    func takeMail() {
        mailbox.take(into: &spareMail)
        for work in spareMail {
            switch work {
            case .body(let body): queue.append(.body(body))
            case .job(let job): queue.append(.job(job))
            }
        }
        spareMail.removeAll(keepingCapacity: true)
    }

    /// Before each poll: runs what is queued, at most `Limits.loopJobsPerTurnMax` and for `Limits.loopTurnMax`, so that
    /// input and output are not starved.
    func turn() {
        statistics.turns &+= 1
        runQueue()
        // An active idle handle makes the poll return at once.
        if queue.isEmpty {
            uv_idle_stop(idleHandle)
        } else if uv_is_active(UnsafeMutableRawPointer(idleHandle).assumingMemoryBound(to: uv_handle_t.self)) == 0 {
            uv_idle_start(idleHandle) { _ in }
        }
        reportLeaks()
        isAfterPoll = true
    }

    func runQueue() {
        guard !queue.isEmpty else { return }
        callbackBegan()
        let executor = asUnownedTaskExecutor()
        let end = callbackStart + Limits.loopTurnMax
        for _ in 0..<Limits.loopJobsPerTurnMax {
            guard callbackStart < end, let work = queue.popFirst() else { break }
            switch work {
            case .body(let body): body()
            case .job(let job):
                job.runSynchronously(on: executor)
                // Where a task waits, no command of its is running.
                CrashReport.end()
            }
            callbackEnded()
        }
    }

    // MARK: Timers

    func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken {
        let earliest = timers.earliest
        let token = timers.insert(at: deadline, body)
        if earliest.map({ deadline < $0 }) ?? true { armTimer() }
        return token
    }

    func cancel(_ token: TimerToken) {
        let earliest = timers.earliest
        timers.remove(token)
        if timers.earliest != earliest { armTimer() }
    }

    /// Sets the one libuv timer to the earliest deadline, rounded up: libuv counts whole milliseconds of the same
    /// clock.
    private func armTimer() {
        guard let earliest = timers.earliest else {
            uv_timer_stop(timerHandle)
            return
        }
        guard uv_is_closing(UnsafeMutableRawPointer(timerHandle).assumingMemoryBound(to: uv_handle_t.self)) == 0 else {
            return
        }
        let (whole, rest) = max(earliest.nanoseconds, 0).quotientAndRemainder(dividingBy: 1_000_000)
        let due = UInt64(whole) + (rest > 0 ? 1 : 0)
        let loopTime = uv_now(uv)
        uv_timer_start(
            timerHandle, { EventLoop.of($0!.pointee.loop).fireTimers() }, due > loopTime ? due - loopTime : 0, 0)
    }

    private func fireTimers() {
        callbackBegan()
        let now = SystemClock.now
        let limit = timers.nextSequence
        while let body = timers.popDue(at: now, setBefore: limit) {
            body()
            callbackEnded()
        }
        armTimer()
    }

    // MARK: How long callbacks hold the loop

    /// To be called when libuv enters a part's callback that calls node code. Reads the clock only after a poll.
    public func callbackBegan() {
        guard isAfterPoll else { return }
        isAfterPoll = false
        callbackStart = SystemClock.now
        turnStart = callbackStart
    }

    /// To be called when such a callback ends.
    public func callbackEnded() {
        // A command that waits is not what runs next.
        CrashReport.end()
        let now = SystemClock.now
        let held = now - callbackStart
        callbackStart = now
        if held > statistics.longestHold { statistics.longestHold = held }
        if held > Limits.loopHoldMax {
            statistics.longHolds &+= 1
            if held > Limits.loopHoldFar { statistics.farTooLongHolds &+= 1 }
        }
    }

    /// What was counted so far.
    public var currentStatistics: LoopStatistics { statistics }
}
