import BSON
import CPCRE2
import Core

/// Finds the matches of an expression in one text, one after the other, and looks at no more than a part of the text at
/// a time.
final class RegexSearch {
    let text: [UInt8]
    /// Where the search goes on: the first byte of a character, or the end.
    private(set) var position = 0
    /// Keeps the code.
    private let expression: RegularExpression
    private let code: OpaquePointer
    private let data: OpaquePointer
    private let context: OpaquePointer
    /// Of a long text: the work that the match under way has done.
    private let watch: UnsafeMutablePointer<MatchWatch>?
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
        let isWatched = text.count > Limits.regexShortTextBytesMax && !expression.isBoundToStart
        let code = isWatched ? try expression.watchedCode() : expression.code
        guard let data = pcre2_match_data_create_from_pattern_8(code, nil) else { throw RegexSearch.noMemory }
        guard let context = RegularExpression.makeContext() else {
            pcre2_match_data_free_8(data)
            throw RegexSearch.noMemory
        }
        self.expression = expression
        self.text = text
        self.code = code
        self.data = data
        self.context = context
        guard isWatched else {
            watch = nil
            return
        }
        let watch = UnsafeMutablePointer<MatchWatch>.allocate(capacity: 1)
        watch.initialize(to: MatchWatch())
        pcre2_set_callout_8(context, watchMatch, watch)
        self.watch = watch
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        watch?.deallocate()
    }

    private static var noMemory: ServerError {
        ServerError(.exceededMemoryLimit, "no memory for the groups of a regular expression")
    }

    /// Looks at the next part. Throws 51156 when a limit is reached.
    func next() throws(ServerError) -> Outcome {
        if isEnded { return .end }
        // `\G` means where a search begins, so it has to begin at the matches only.
        let last = expression.isBoundToStart ? text.count : min(position + window, text.count)
        pcre2_set_offset_limit_8(context, last)
        watch?.pointee = MatchWatch(start: position)
        let result = text.withUnsafeBytes { utf8 in
            pcre2_match_8(
                code, utf8.start.assumingMemoryBound(to: UInt8.self), utf8.count, position, PCRE2_NO_UTF_CHECK, data,
                context)
        }
        if result == PCRE2_ERROR_CALLOUT, let reached = watch?.pointee.place, reached > position {
            window = RegexSearch.windowMin
            advance(to: reached)
            return .none
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
            // A group that took no part has the largest offset, which reads as -1; `\K` can turn a range around.
            let (lower, upper) = (offsets[2 * group], offsets[2 * group + 1])
            guard group < count, lower >= 0, lower <= upper, upper <= text.count else { return nil }
            return lower..<upper
        }
    }
}

/// The work of one call of PCRE2: nothing else tells how long it takes.
private struct MatchWatch {
    /// Where the search began, and the place that it is at now: no match starts before it.
    var start = 0
    var place = 0
    /// Steps and bytes.
    var work = 0
    var last = 0
}

/// Called at every step of a match: ends it between two places when it has been long enough, and at one place when it
/// has been too long.
private func watchMatch(
    _ block: UnsafeMutablePointer<pcre2_callout_block_8>?, _ data: UnsafeMutableRawPointer?
) -> Int32 {
    guard let block, let watch = data?.assumingMemoryBound(to: MatchWatch.self) else { return 0 }
    let at = block.pointee.current_position
    watch.pointee.work &+= 8 &+ (at > watch.pointee.last ? at &- watch.pointee.last : watch.pointee.last &- at)
    watch.pointee.last = at
    guard watch.pointee.work > Limits.regexWorkPerSlice else { return 0 }
    watch.pointee.place = block.pointee.start_match
    if watch.pointee.place > watch.pointee.start { return PCRE2_ERROR_CALLOUT }
    return watch.pointee.work > Limits.regexWorkMax ? PCRE2_ERROR_CALLOUT : 0
}
