import Core
import Foundation
import Synchronization
import Testing

@testable import LiveRuntime

@Suite("an event loop")
struct EventLoopTests {
    /// A loop of its own for one test, ended whatever happens.
    private func withLoop<Answer: Sendable>(
        log: MemoryLog = MemoryLog(), _ body: @escaping @Sendable (LiveRuntime) async throws -> Answer
    ) async throws -> Answer {
        let loop = try EventLoop.start(name: "test", log: log)
        let outcome: Result<Answer, any Error>
        do {
            outcome = .success(
                try await loop.callAsync { try await body(LiveRuntime(loop: loop, log: log)) })
        } catch {
            outcome = .failure(error)
        }
        await loop.shutdown()
        return try outcome.get()
    }

    /// Collects on one loop.
    private final class Trace {
        var entries: [String] = []
    }

    @Test("timers fire by deadline, those of one deadline in the order they were set, cancelled ones never")
    func timers() async throws {
        let entries = try await withLoop { runtime in
            let trace = Trace()
            let start = runtime.now
            let at = { (milliseconds: Int64) in start + .milliseconds(milliseconds) }
            runtime.schedule(at: at(4)) { trace.entries.append("c") }
            runtime.schedule(at: at(2)) { trace.entries.append("a") }
            let cancelled = runtime.schedule(at: at(2)) { trace.entries.append("never") }
            runtime.schedule(at: at(2)) { trace.entries.append("b") }
            runtime.cancel(cancelled)
            runtime.cancel(cancelled)
            await withUnsafeContinuation { continuation in
                runtime.schedule(at: at(5)) {
                    if runtime.now < at(5) { trace.entries.append("early") }
                    continuation.resume()
                }
            }
            runtime.cancel(cancelled)
            return trace.entries
        }
        #expect(entries == ["a", "b", "c"])
    }

    @Test("a timer that sets itself again without delay does not hold the loop")
    func timerWithoutDelay() async throws {
        let count = try await withLoop { runtime in
            let trace = Trace()
            func again() {
                guard trace.entries.count < 100_000 else { return }
                trace.entries.append("")
                runtime.schedule(after: .zero) { again() }
            }
            again()
            // Comes through the loop's input, which a busy timer must not shut out.
            await withUnsafeContinuation { continuation in
                runtime.mailbox.enqueue { continuation.resume() }
            }
            return trace.entries.count
        }
        #expect(count < 100_000)
    }

    @Test("a queue that never empties does not shut out timers and mail")
    func endlessQueue() async throws {
        let fired = try await withLoop { runtime in
            let trace = Trace()
            func again() {
                if trace.entries.isEmpty { runtime.enqueue { again() } }
            }
            again()
            await withUnsafeContinuation { continuation in
                runtime.schedule(after: .milliseconds(1)) {
                    trace.entries.append("fired")
                    continuation.resume()
                }
            }
            return trace.entries
        }
        #expect(fired == ["fired"])
    }

    @Test("work in slices that queue one another lets timers in after a few of them")
    func slices() async throws {
        let slices = try await withLoop { runtime in
            var slices = 0
            var isOver = false
            func slice() {
                slices += 1
                let end = runtime.now + .milliseconds(1)
                while runtime.now < end {}
                if !isOver { runtime.enqueue { slice() } }
            }
            slice()
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                runtime.schedule(after: .milliseconds(1)) {
                    isOver = true
                    continuation.resume()
                }
            }
            return slices
        }
        #expect(slices < 20)
    }

    @Test("what is queued runs in order, also what is queued meanwhile")
    func queueOrder() async throws {
        let entries = try await withLoop { runtime in
            let trace = Trace()
            await withUnsafeContinuation { continuation in
                runtime.enqueue {
                    trace.entries.append("1")
                    runtime.enqueue {
                        trace.entries.append("3")
                        continuation.resume()
                    }
                }
                runtime.enqueue { trace.entries.append("2") }
            }
            return trace.entries
        }
        #expect(entries == ["1", "2", "3"])
    }

    @Test("mail of several threads arrives once and in the order of each")
    func mail() async throws {
        let loop = try EventLoop.start(name: "mail", log: MemoryLog())
        final class Received: @unchecked Sendable { var numbers: [[Int]] = [[], [], [], []] }
        let received = Received()
        await withTaskGroup(of: Void.self) { group in
            for sender in 0..<4 {
                group.addTask {
                    for number in 0..<5000 { loop.perform { received.numbers[sender].append(number) } }
                }
            }
        }
        let numbers = try await loop.call { received.numbers }
        #expect(numbers.allSatisfy { $0 == Array(0..<5000) })
        await loop.shutdown()
    }

    @Test("a task stays on the loop through suspensions, and so does what it calls")
    func tasksStay() async throws {
        let log = MemoryLog()
        let leaks = try await withLoop(log: log) { runtime in
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                runtime.spawn("outer") {
                    runtime.preconditionOnLoop()
                    await runtime.sleep(for: .milliseconds(1))
                    runtime.preconditionOnLoop()
                    let loop = runtime.loop
                    await withUnsafeContinuation { inner in
                        runtime.offload {
                            if loop.isOnLoop { fatalError("work ran on the loop") }
                        } completion: {
                            runtime.preconditionOnLoop()
                            inner.resume()
                        }
                    }
                    runtime.preconditionOnLoop()
                    runtime.spawn("inner") {
                        await runtime.sleep(for: .milliseconds(1))
                        runtime.preconditionOnLoop()
                        continuation.resume()
                    }
                }
            }
            return runtime.loop.currentStatistics.leakedJobs
        }
        #expect(leaks == 0)
        #expect(log.lines.isEmpty)
    }

    #if DEBUG
        @Test("a task that escapes to the global pool is counted and reported")
        func leaksAreFound() async throws {
            let log = MemoryLog()
            let leaks = try await withLoop(log: log) { runtime in
                await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                    runtime.enqueue {
                        Task.detached {}
                        runtime.enqueue { runtime.schedule(after: .milliseconds(1)) { continuation.resume() } }
                    }
                }
                return runtime.loop.currentStatistics.leakedJobs
            }
            #expect(leaks == 1)
            #expect(log.lines.count == 1)
        }
    #endif

    @Test("a task resumed by another thread goes on on its loop")
    func resumedFromOutside() async throws {
        try await withLoop { runtime in
            for _ in 0..<50 {
                await withUnsafeContinuation { continuation in
                    Thread.detachNewThread { continuation.resume() }
                }
                runtime.preconditionOnLoop()
            }
        }
    }

    @Test("a call hands back what the body returns or throws")
    func calls() async throws {
        struct Failure: Error {}
        let loop = try EventLoop.start(name: "calls", log: MemoryLog())
        #expect(try await loop.call { 41 + 1 } == 42)
        await #expect(throws: Failure.self) { try await loop.call { throw Failure() } }
        await #expect(throws: Failure.self) { try await loop.callAsync { throw Failure() } }
        #expect(!loop.isOnLoop)
        #expect(try await loop.call { loop.isOnLoop })
        await loop.shutdown()
    }

    @Test("a loop that has ended answers no call and drops mail, and ends once")
    func afterTheEnd() async throws {
        let loop = try EventLoop.start(name: "ended", log: MemoryLog())
        await loop.shutdown()
        await loop.shutdown()
        await #expect(throws: EventLoopError.self) { try await loop.call { 1 } }
        await #expect(throws: EventLoopError.self) { try await loop.callAsync { 1 } }
        loop.perform { fatalError("ran on a loop that has ended") }
    }

    @Test("the end of a loop runs what was posted, calls the hooks and answers open calls")
    func ending() async throws {
        let log = MemoryLog()
        let loop = try EventLoop.start(name: "ending", log: log)
        let done = Atomic<Int>(0)
        try await loop.call {
            loop.addShutdownHook { done.add(1, ordering: .relaxed) }
            let runtime = LiveRuntime(loop: loop, log: log)
            runtime.schedule(after: .seconds(3600)) { fatalError("a timer fired too early") }
            runtime.offload {
                done.add(100, ordering: .relaxed)
            } completion: {
                done.add(100, ordering: .relaxed)
            }
        }
        let open = Task {
            try await loop.callAsync {
                done.add(1000, ordering: .relaxed)
                await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
            }
        }
        while done.load(ordering: .relaxed) < 1000 { await Task.yield() }
        for _ in 0..<10 { loop.perform { done.add(10_000, ordering: .relaxed) } }
        await loop.shutdown()
        await #expect(throws: EventLoopError.self) { try await open.value }
        #expect(done.load(ordering: .relaxed) == 101_201)
        #expect(log.lines.isEmpty)
    }

    @Test("a callback that holds the loop shows in the statistics")
    func holds() async throws {
        let statistics = try await withLoop { runtime in
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                runtime.enqueue {
                    let end = runtime.now + .milliseconds(8)
                    while runtime.now < end {}
                    runtime.enqueue { continuation.resume() }
                }
            }
            return runtime.loop.currentStatistics
        }
        #expect(statistics.longestHold >= .milliseconds(8))
        #expect(statistics.longHolds >= 1)
    }

    @Test("a signal reaches its watcher on the loop")
    func signals() async throws {
        let received = try await withLoop { runtime in
            var watcher: SignalWatcher?
            let signal = try await withUnsafeThrowingContinuation { continuation in
                do {
                    watcher = try SignalWatcher(loop: runtime.loop, signals: [SIGWINCH]) {
                        runtime.preconditionOnLoop()
                        continuation.resume(returning: $0)
                    }
                    kill(getpid(), SIGWINCH)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
            watcher?.close()
            return signal
        }
        #expect(received == SIGWINCH)
    }

    @Test("random numbers differ from runtime to runtime")
    func randomness() async throws {
        let numbers = try await withLoop { runtime in
            let other = LiveRuntime(loop: runtime.loop)
            return (0..<200).map { _ in runtime.randomNumber() } + (0..<200).map { _ in other.randomNumber() }
        }
        #expect(Set(numbers).count == 400)
    }
}

@Suite("the timers of a loop")
struct TimerHeapTests {
    @Test("the heap agrees with a sorted list", arguments: 0..<20)
    func againstSortedList(seed: UInt64) {
        final class Fired { var last = -1 }
        var generator = SplitMix64(seed: seed)
        var heap = TimerHeap()
        var list: [(deadline: Int64, number: Int, token: TimerToken)] = []
        var spent: [TimerToken] = []
        let fired = Fired()
        for number in 0..<3000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                let deadline = Int64.random(in: 0..<50, using: &generator)
                let token = heap.insert(at: Instant(nanoseconds: deadline)) { fired.last = number }
                list.append((deadline, number, token))
            case 5..<7 where !list.isEmpty:
                let removed = list.remove(at: Int.random(in: 0..<list.count, using: &generator))
                heap.remove(removed.token)
                spent.append(removed.token)
            case 7:
                if let token = spent.randomElement(using: &generator) { heap.remove(token) }
            default:
                let now = Int64.random(in: 0..<50, using: &generator)
                let expected = list.indices.min {
                    (list[$0].deadline, list[$0].number) < (list[$1].deadline, list[$1].number)
                }
                let body = heap.popDue(at: Instant(nanoseconds: now), setBefore: .max)
                if let expected, list[expected].deadline <= now {
                    body?()
                    #expect(fired.last == list[expected].number)
                    spent.append(list.remove(at: expected).token)
                } else {
                    #expect(body == nil)
                }
            }
            #expect(heap.count == list.count)
            #expect(heap.earliest?.nanoseconds == list.map(\.deadline).min())
        }
    }
}

@Suite("log lines")
struct LineLogTests {
    @Test("a line has time, level, component and message, and cannot be forged")
    func format() {
        let line = LineLog.line(WallTime(milliseconds: 1_795_176_000_042), .warning, "net", "a\nb\u{1}\u{7f}\tü\\")
        #expect(String(decoding: line, as: UTF8.self) == "2026-11-20T12:00:00.042Z W net a\\nb\\x01\\x7f\\tü\\\n")
    }

    @Test("lines below the level are not written, others in one piece")
    func levels() throws {
        let pipe = Pipe()
        let log = LineLog(descriptor: pipe.fileHandleForWriting.fileDescriptor, minimumLevel: .warning)
        log.log(.info, "a", "left out")
        log.log(.error, "b", "kept")
        try pipe.fileHandleForWriting.close()
        let text = String(decoding: try #require(try pipe.fileHandleForReading.readToEnd()), as: UTF8.self)
        #expect(text.hasSuffix("Z E b kept\n"))
        #expect(text.count { $0 == "\n" } == 1)
    }
}
