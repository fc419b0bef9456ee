import BSON
import CPCRE2
import Core

/// Finds the matches of an expression in one text, one after the other, and looks at no more than a part of the text at
/// a time.
final class RegexSearch {
    let text: [UInt8]
    /// Where the search goes on: the first byte of a character, or the end.
    private(set) var position = 0
    private let expression: RegularExpression
    private let data: OpaquePointer
    /// How many bytes the next part has that a match may start in. Grows as long as nothing is found.
    private var window = RegexSearch.windowMin
    private var isEnded = false

    private static let windowMin = 4096
    private static let windowMax = 64 * 1024

    enum Outcome {
        /// The byte ranges of a match and of its groups; nil for a group that took no part.
        case match([Range<Int>?])
        /// No match starts in the part that was looked at.
        case none
        case end
    }

    /// - Parameter text: well-formed UTF-8.
    init(_ expression: RegularExpression, _ text: [UInt8]) throws(ServerError) {
        guard let data = pcre2_match_data_create_from_pattern_8(expression.code, nil) else {
            throw ServerError(.exceededMemoryLimit, "no memory for the groups of a regular expression")
        }
        self.expression = expression
        self.text = text
        self.data = data
    }

    deinit { pcre2_match_data_free_8(data) }

    /// Looks at the next part. Throws 51156 when a limit is reached.
    func next() throws(ServerError) -> Outcome {
        if isEnded { return .end }
        // `\\G` means where a search begins, so it has to begin at the matches only.
        let last = expression.isBoundToStart ? text.count : min(position + window, text.count)
        let result = text.withUnsafeBytes { utf8 in
            expression.match(utf8, from: position, startingUpTo: last, into: data)
        }
        if result == PCRE2_ERROR_NOMATCH {
            guard last < text.count else {
                isEnded = true
                return .end
            }
            window = min(window * 2, RegexSearch.windowMax)
            advance(to: last + 1)
            return .none
        }
        guard result >= 0 else { throw RegularExpression.failure(result) }
        let ranges = ranges(result)
        guard let match = ranges.first.flatMap({ $0 }) else {
            isEnded = true
            return .end
        }
        window = RegexSearch.windowMin
        advance(to: match.isEmpty ? match.upperBound + 1 : max(match.upperBound, position + 1))
        if position >= text.count { isEnded = true }
        return .match(ranges)
    }

    /// Goes on at a byte, or at the first character behind it.
    private func advance(to byte: Int) {
        position = min(byte, text.count)
        while position < text.count, text[position] & 0xC0 == 0x80 { position += 1 }
    }

    private func ranges(_ count: Int32) -> [Range<Int>?] {
        guard let offsets = pcre2_get_ovector_pointer_8(data) else { return [] }
        return (0..<Int(clamping: pcre2_get_ovector_count_8(data))).map { group in
            // A group that took no part has the largest offset, which reads as -1; `\\K` can turn a range around.
            let (lower, upper) = (offsets[2 * group], offsets[2 * group + 1])
            guard group < count, lower >= 0, lower <= upper, upper <= text.count else { return nil }
            return lower..<upper
        }
    }
}
