internal import Glibc

/// Runs seeds in processes of their own, so that one that traps or hangs ends itself and not the sweep.
///
/// A worker writes each seed before it runs it. What is left of a dead worker's seeds goes to the next.
struct SweepRunner {
    /// Seeds that one process runs.
    private static let chunk: UInt64 = 20
    /// A seed that takes longer than this has hung.
    private static let secondsPerSeedMax: Double = 600

    let jobs: Int
    /// What the workers' command lines hold beside the seeds.
    let arguments: [String]
    /// Called with each failed seed, and what there is to say of it.
    let report: (UInt64, [String]) -> Void
    /// Called with the counts of each seed that did not fail.
    let count: ([(name: String, count: Int)]) -> Void

    private final class Worker {
        let process: pid_t
        let output: Int32
        let last: UInt64
        /// The seed that has begun and not ended.
        var seed: UInt64?
        var nextSeed: UInt64
        var failure: [String] = []
        var partial: [UInt8] = []
        var lastWord: Double

        init(process: pid_t, output: Int32, seeds: ClosedRange<UInt64>, now: Double) {
            self.process = process
            self.output = output
            last = seeds.upperBound
            nextSeed = seeds.lowerBound
            lastWord = now
        }
    }

    func run(_ seeds: ClosedRange<UInt64>) throws(UsageError) {
        var left: [ClosedRange<UInt64>] = []
        var first = seeds.lowerBound
        while first <= seeds.upperBound {
            let last = min(first + Self.chunk - 1, seeds.upperBound)
            left.append(first...last)
            first = last + 1
        }
        left.reverse()
        var workers: [Worker] = []
        while !left.isEmpty || !workers.isEmpty {
            while workers.count < jobs, let range = left.popLast() { workers.append(try start(range)) }
            for worker in wait(for: workers) where !read(worker) {
                workers.removeAll { $0 === worker }
                if let rest = finish(worker) { left.append(rest) }
            }
        }
    }

    // MARK: Processes

    private func start(_ seeds: ClosedRange<UInt64>) throws(UsageError) -> Worker {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw UsageError("no pipe for a worker: \(String(cString: strerror(errno)))") }
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addclose(&actions, ends[1])
        defer { posix_spawn_file_actions_destroy(&actions) }
        let words =
            ["quorate", "simulate", "--worker", "--seeds", "\(seeds.lowerBound)..\(seeds.upperBound)"] + arguments
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var process: pid_t = 0
        let failure = posix_spawn(&process, "/proc/self/exe", &actions, nil, &pointers, environ)
        close(ends[1])
        guard failure == 0 else { throw UsageError("no worker: \(String(cString: strerror(failure)))") }
        return Worker(process: process, output: ends[0], seeds: seeds, now: Self.seconds)
    }

    static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Waits for output; ends workers that have said nothing for too long.
    private func wait(for workers: [Worker]) -> [Worker] {
        var descriptors = workers.map { pollfd(fd: $0.output, events: Int16(POLLIN), revents: 0) }
        _ = poll(&descriptors, nfds_t(descriptors.count), 1000)
        for worker in workers where Self.seconds - worker.lastWord > Self.secondsPerSeedMax {
            worker.failure.append("it has not ended after \(Int(Self.secondsPerSeedMax)) s and was stopped")
            kill(worker.process, SIGKILL)
            worker.lastWord = Self.seconds
        }
        return zip(workers, descriptors).filter { $0.1.revents != 0 }.map(\.0)
    }

    /// Takes what the worker has written; false at its end.
    private func read(_ worker: Worker) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let size = buffer.count
        let count = buffer.withUnsafeMutableBytes { Glibc.read(worker.output, $0.baseAddress, size) }
        guard count > 0 else { return false }
        worker.lastWord = Self.seconds
        worker.partial += buffer[..<count]
        while let end = worker.partial.firstIndex(of: UInt8(ascii: "\n")) {
            take(String(decoding: worker.partial[..<end], as: UTF8.self), worker)
            worker.partial.removeSubrange(...end)
        }
        return true
    }

    private func take(_ line: String, _ worker: Worker) {
        switch SeedLines.parse(line) {
        case .begin(let seed):
            worker.seed = seed
            worker.nextSeed = seed + 1
            worker.failure = []
        case .done(_, let counts):
            worker.seed = nil
            count(counts)
        case .failed(_, let reason): worker.failure = [reason]
        case .detail(let text): worker.failure.append(text)
        case .end(let seed):
            worker.seed = nil
            report(seed, worker.failure)
        case nil: worker.failure.append(line)
        }
    }

    /// Sees the worker off. Returns the seeds that it has not begun.
    private func finish(_ worker: Worker) -> ClosedRange<UInt64>? {
        close(worker.output)
        var status: Int32 = 0
        waitpid(worker.process, &status, 0)
        if let seed = worker.seed {
            let signal = status & 0x7F
            let how = signal == 0 ? "status \(status >> 8 & 0xFF)" : "signal \(signal)"
            report(seed, ["its process ended with \(how)"] + worker.failure)
        } else if worker.nextSeed <= worker.last, status != 0 {
            report(worker.nextSeed, ["a worker ended with status \(status) before this seed"] + worker.failure)
            worker.nextSeed += 1
        }
        return worker.nextSeed <= worker.last ? worker.nextSeed...worker.last : nil
    }
}
