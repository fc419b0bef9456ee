import CUV
import Core
import Glibc

/// The clocks of the system.
enum SystemClock {
    /// The monotonic clock, read anew at each call (about 25 ns: no system call).
    static var now: Instant { Instant(nanoseconds: Int64(bitPattern: uv_hrtime())) }

    static var wallClock: WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(milliseconds: Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000)
    }
}

/// Random numbers of the system, drawn a page at a time: as unpredictable as getrandom, without a call for each number.
struct SystemRandomness {
    private var numbers: [UInt64] = []

    mutating func next() -> UInt64 {
        if let number = numbers.popLast() { return number }
        var fresh = [UInt64](repeating: 0, count: 64)
        let status = fresh.withUnsafeMutableBytes { uv_random(nil, nil, $0.baseAddress, $0.count, 0, nil) }
        precondition(status == 0, "the system gives no random numbers")
        numbers = fresh
        return numbers.removeLast()
    }
}

/// What this process uses of the machine.
enum SystemProcess {
    static var statistics: ProcessStatistics {
        var statistics = ProcessStatistics()
        var usage = rusage()
        // 0: this process. The header's RUSAGE_SELF has another type.
        if getrusage(0, &usage) == 0 {
            statistics.pageFaults = Int64(usage.ru_majflt)
            statistics.userMicroseconds = microseconds(usage.ru_utime)
            statistics.systemMicroseconds = microseconds(usage.ru_stime)
        }
        // Pages: all, and those in memory.
        if let file = fopen("/proc/self/statm", "r") {
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 128)
            guard fgets(&line, Int32(line.count), file) != nil else { return statistics }
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let pages = text.split(separator: " ").prefix(2).compactMap { Int64($0) }
            let size = Int64(sysconf(Int32(_SC_PAGESIZE)))
            guard pages.count == 2, size > 0 else { return statistics }
            statistics.virtualBytes = pages[0] &* size
            statistics.residentBytes = pages[1] &* size
        }
        return statistics
    }

    private static func microseconds(_ time: timeval) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_usec)
    }
}
