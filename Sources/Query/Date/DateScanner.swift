/// Reads the text of a date from its start; what does not fit moves nothing.
struct DateScanner {
    private let bytes: [UInt8]
    private(set) var at = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { at >= bytes.count }
    /// The byte at the place, or 0 behind the end.
    var next: UInt8 { at < bytes.count ? bytes[at] : 0 }
    var rest: String { String(decoding: bytes[min(at, bytes.count)...], as: UTF8.self) }

    /// Runs `body`, and goes back to where it was when that finds nothing.
    mutating func attempt<R>(_ body: (inout DateScanner) -> R?) -> R? {
        let start = at
        if let result = body(&self) { return result }
        at = start
        return nil
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard !isAtEnd, next == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    /// Takes one byte of a set.
    mutating func take(anyOf set: StaticString) -> UInt8? {
        let byte = next
        guard !isAtEnd, set.withUTF8Buffer({ $0.contains(byte) }) else { return nil }
        at += 1
        return byte
    }

    mutating func skip(allOf set: StaticString) { while take(anyOf: set) != nil {} }

    /// Takes a text byte for byte.
    mutating func take(text: String.UTF8View) -> Bool {
        guard bytes[min(at, bytes.count)...].starts(with: text) else { return false }
        at += text.count
        return true
    }

    static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
    static func isLetter(_ byte: UInt8) -> Bool { (65...90).contains(byte & 0xDF) }

    /// How many digits come next.
    var digitCount: Int { bytes[min(at, bytes.count)...].prefix { DateScanner.isDigit($0) }.count }

    /// A number of `digits.lowerBound ... digits.upperBound` digits, of up to 18.
    mutating func number(_ digits: ClosedRange<Int>) -> Int? {
        let count = min(digitCount, digits.upperBound, 18)
        guard count >= digits.lowerBound else { return nil }
        let value = bytes[at..<(at + count)].reduce(0) { $0 * 10 + Int($1 - 48) }
        at += count
        return value
    }

    /// A number of exactly so many digits that no other digit follows.
    mutating func whole(_ digits: ClosedRange<Int>) -> Int? {
        digits.contains(digitCount) ? number(digits) : nil
    }

    /// A fraction of a second in milliseconds, of up to `places` digits; those behind the third are cut off. nil
    /// without a digit.
    mutating func fraction(places: Int = .max) -> Int? {
        let count = min(digitCount, places)
        guard count > 0 else { return nil }
        var millis = 0
        for place in 0..<3 { millis = millis * 10 + (place < count ? Int(bytes[at + place] - 48) : 0) }
        at += count
        return millis
    }

    /// The letters that come next, or the first ones of them, in lower case.
    mutating func word(_ lettersMax: Int = .max) -> String? {
        let letters = bytes[min(at, bytes.count)...].prefix { DateScanner.isLetter($0) }.prefix(lettersMax)
        guard !letters.isEmpty else { return nil }
        at += letters.count
        return String(decoding: letters.map { $0 | 0x20 }, as: UTF8.self)
    }

    /// The name of a zone: what stands up to the next blank or bracket.
    mutating func zoneName() -> String {
        let name = bytes[min(at, bytes.count)...].prefix { $0 > 0x20 && $0 != UInt8(ascii: ")") }
        at += name.count
        return String(decoding: name, as: UTF8.self)
    }

    /// Seconds east of Greenwich of `±h`, `±hh`, `±hhmm`, `±hh:mm`.
    mutating func offset() -> Int64? {
        attempt { scan in
            guard let sign = scan.take(anyOf: "+-") else { return nil }
            let count = scan.digitCount
            guard (1...4).contains(count), count != 3, let hours = scan.number(1...2) else { return nil }
            var minutes = 0
            if count == 4 {
                minutes = scan.number(2...2) ?? 0
            } else {
                minutes = scan.attempt { $0.take(":") ? $0.whole(2...2) : nil } ?? 0
            }
            let seconds = Int64(hours * 3600 + minutes * 60)
            return sign == UInt8(ascii: "-") ? -seconds : seconds
        }
    }
}
