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
