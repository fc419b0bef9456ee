/// Counts durations in buckets of equal relative width (1.6 %): a run of any length takes the same few kilobytes.
struct LatencyHistogram: Sendable {
    /// 64 buckets for each power of two.
    private static let precisionBits = 6
    private static let bucketCount = (64 - precisionBits + 1) << precisionBits
    private var counts = [UInt64](repeating: 0, count: bucketCount)
    private(set) var count: UInt64 = 0
    private(set) var maximum: Int64 = 0

    mutating func record(nanoseconds: Int64) {
        let value = UInt64(max(nanoseconds, 0))
        counts[Self.bucket(of: value)] += 1
        count += 1
        if nanoseconds > maximum { maximum = nanoseconds }
    }

    /// The upper end of the bucket in which the `fraction` (0…1) of all durations lies; 0 when there are none.
    func nanoseconds(at fraction: Double) -> Int64 {
        guard count > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(count) * fraction).rounded(.up)))
        var passed: UInt64 = 0
        for (bucket, inBucket) in counts.enumerated() where inBucket > 0 {
            passed += inBucket
            if passed >= wanted { return min(Self.upperEnd(of: bucket), maximum) }
        }
        return maximum
    }

    static func bucket(of value: UInt64) -> Int {
        let shift = max(0, 63 - precisionBits - value.leadingZeroBitCount)
        return (shift << precisionBits) + Int(value >> UInt64(shift))
    }

    static func upperEnd(of bucket: Int) -> Int64 {
        let shift = max(0, (bucket >> precisionBits) - 1)
        let lower = UInt64(bucket - (shift << precisionBits)) << UInt64(shift)
        return Int64(clamping: lower + (1 << UInt64(shift)) - 1)
    }
}
