/// One zone of the system's database: when its offset changed, and the rule that goes on behind the last change.
///
/// Reads the format of RFC 8536 (TZif, versions 2 to 4). A malformed file is no zone: nothing here trusts it.
final class ZoneRules: Sendable {
    /// Seconds since 1970 at which an offset begins to hold, ascending.
    private let transitions: [Int64]
    /// Seconds east of Greenwich, of each transition.
    private let offsets: [Int64]
    /// The offset before the first transition.
    private let first: Int64
    /// The rule behind the last transition.
    private let rule: PosixZone?

    init?(_ bytes: [UInt8]) {
        var reader = ZoneReader(bytes)
        // The first part has 32-bit times, for old readers.
        guard let old = reader.header(), reader.skip(old.bodyCount(timeSize: 4)), let header = reader.header(),
            header.types > 0
        else { return nil }
        var times: [Int64] = []
        for _ in 0..<header.times {
            guard let time = reader.integer(8) else { return nil }
            times.append(time)
        }
        var kinds: [Int] = []
        for _ in 0..<header.times {
            guard let kind = reader.byte(), Int(kind) < header.types else { return nil }
            kinds.append(Int(kind))
        }
        var types: [Int64] = []
        for _ in 0..<header.types {
            guard let offset = reader.integer(4), reader.skip(2), offset.magnitude < 93_600 else { return nil }
            types.append(offset)
        }
        guard reader.skip(header.chars + header.leaps * 12 + header.standards + header.universals),
            let footer = reader.line(), zip(times, times.dropFirst()).allSatisfy({ $0 < $1 })
        else { return nil }
        transitions = times
        offsets = kinds.map { types[$0] }
        first = types[0]
        rule = footer.isEmpty ? nil : PosixZone(footer)
        if !footer.isEmpty, rule == nil { return nil }
    }

    /// Seconds east of Greenwich at a time, in seconds since 1970.
    func offset(at seconds: Int64) -> Int64 {
        guard let last = transitions.last else { return rule?.offset(at: seconds) ?? first }
        if seconds >= last { return rule?.offset(at: seconds) ?? offsets[offsets.count - 1] }
        // The first transition behind the time.
        var (low, high) = (0, transitions.count)
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= seconds { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? first : offsets[low - 1]
    }
}

/// Reads a TZif file from its start.
private struct ZoneReader {
    private let bytes: [UInt8]
    private var at = 0

    struct Header {
        let universals, standards, leaps, times, types, chars: Int

        func bodyCount(timeSize: Int) -> Int {
            times * (timeSize + 1) + types * 6 + chars + leaps * (timeSize + 4) + standards + universals
        }
    }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func byte() -> UInt8? {
        guard at < bytes.count else { return nil }
        at += 1
        return bytes[at - 1]
    }

    mutating func skip(_ count: Int) -> Bool {
        guard count <= bytes.count - at else { return false }
        at += count
        return true
    }

    /// A signed number of `size` bytes, the highest first.
    mutating func integer(_ size: Int) -> Int64? {
        guard let first = byte() else { return nil }
        var value = Int64(Int8(bitPattern: first))
        for _ in 1..<size {
            guard let next = byte() else { return nil }
            value = value << 8 | Int64(next)
        }
        return value
    }

    mutating func header() -> Header? {
        guard skip(4), bytes[(at - 4)..<at].elementsEqual("TZif".utf8), let version = byte(),
            version >= UInt8(ascii: "2"), skip(15)
        else { return nil }
        var counts: [Int] = []
        for _ in 0..<6 {
            // More of anything than any zone has is no zone.
            guard let count = integer(4), (0...65_536).contains(count) else { return nil }
            counts.append(Int(count))
        }
        return Header(
            universals: counts[0], standards: counts[1], leaps: counts[2], times: counts[3], types: counts[4],
            chars: counts[5])
    }

    /// A line of text between two line feeds.
    mutating func line() -> ArraySlice<UInt8>? {
        guard byte() == UInt8(ascii: "\n"), let end = bytes[at...].firstIndex(of: UInt8(ascii: "\n")) else {
            return nil
        }
        return bytes[at..<end]
    }
}
