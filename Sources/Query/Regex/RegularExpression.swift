import BSON
import CPCRE2
public import Core

/// A compiled regular expression with MongoDB's options, bounded in time, depth and memory.
///
/// No just-in-time compilation: a pattern comes from a client and is used for one query.
public final class RegularExpression {
    public let pattern: String
    /// The options in alphabetical order.
    public let options: String
    /// Whether a search has to begin where the last match ended, because the pattern says so (`\G`, `\K`).
    let isBoundToStart: Bool
    private let flags: UInt32
    let code: OpaquePointer
    /// The same with a call at every step, for long texts.
    private var watched: OpaquePointer?
    private let matchData: OpaquePointer
    private let matchContext: OpaquePointer

    /// Compiles `pattern`. Options are MongoDB's: `i m s x u`.
    ///
    /// Throws 51108 for another option and 51091 for a pattern that PCRE2 refuses.
    public init(pattern: String, options: String) throws(ServerError) {
        self.pattern = pattern
        self.options = String(options.sorted())
        var flags: UInt32 = PCRE2_UTF | PCRE2_USE_OFFSET_LIMIT
        for option in options {
            switch option {
            case "i": flags |= PCRE2_CASELESS
            case "m": flags |= PCRE2_MULTILINE
            case "s": flags |= PCRE2_DOTALL
            case "x": flags |= PCRE2_EXTENDED
            case "u": break
            default:
                throw ServerError(ErrorCode(rawValue: 51108), "invalid flag in regex options: \(option)")
            }
        }
        guard pattern.utf8.count <= Limits.regexPatternBytesMax else {
            throw ServerError(
                ErrorCode(rawValue: 51091),
                "Regular expression is invalid: pattern is longer than \(Limits.regexPatternBytesMax) bytes")
        }
        let (compiled, status) = RegularExpression.compile(pattern, flags)
        guard let compiled else {
            throw ServerError(
                ErrorCode(rawValue: 51091), "Regular expression is invalid: \(RegularExpression.message(status))")
        }
        guard let data = pcre2_match_data_create_8(1, nil), let context = RegularExpression.makeContext() else {
            pcre2_code_free_8(compiled)
            throw ServerError(.exceededMemoryLimit, "no memory for a regular expression")
        }
        isBoundToStart = pattern.contains("\\G") || pattern.contains("\\K")
        self.flags = flags
        code = compiled
        matchData = data
        matchContext = context
    }

    private static func compile(_ pattern: String, _ flags: UInt32) -> (code: OpaquePointer?, status: Int32) {
        var status: Int32 = 0
        var offset = 0
        var text = pattern
        let code = text.withUTF8 { utf8 -> OpaquePointer? in
            if let base = utf8.baseAddress { return pcre2_compile_8(base, utf8.count, flags, &status, &offset, nil) }
            var empty: UInt8 = 0
            return pcre2_compile_8(&empty, 0, flags, &status, &offset, nil)
        }
        return (code, status)
    }

    /// The code for a text that may take long.
    func watchedCode() throws(ServerError) -> OpaquePointer {
        if let watched { return watched }
        guard let made = RegularExpression.compile(pattern, flags | PCRE2_AUTO_CALLOUT).code else {
            throw ServerError(.exceededMemoryLimit, "no memory for a regular expression")
        }
        watched = made
        return made
    }

    /// The bounds of a match.
    static func makeContext() -> OpaquePointer? {
        guard let context = pcre2_match_context_create_8(nil) else { return nil }
        pcre2_set_match_limit_8(context, UInt32(clamping: Limits.regexMatchStepsMax))
        pcre2_set_depth_limit_8(context, UInt32(clamping: Limits.regexMatchDepthMax))
        pcre2_set_heap_limit_8(context, UInt32(clamping: Limits.regexMatchHeapKilobytesMax))
        return context
    }

    deinit {
        pcre2_code_free_8(watched)
        pcre2_match_data_free_8(matchData)
        pcre2_match_context_free_8(matchContext)
        pcre2_code_free_8(code)
    }

    /// Whether the pattern is found in `utf8`. Throws 51156 when a limit is reached.
    public func matches(_ utf8: UnsafeRawBufferPointer) throws(ServerError) -> Bool {
        let base = utf8.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) }
        let result = pcre2_match_8(code, base, utf8.count, 0, 0, matchData, matchContext)
        if result >= 0 { return true }
        switch result {
        case PCRE2_ERROR_MATCHLIMIT, PCRE2_ERROR_DEPTHLIMIT, PCRE2_ERROR_HEAPLIMIT, PCRE2_ERROR_NOMEMORY:
            throw RegularExpression.failure(result)
        default: return false
        }
    }

    static func failure(_ result: Int32) -> ServerError {
        ServerError(
            ErrorCode(rawValue: 51156), "Error occurred while executing regular expression. Result code: \(result)")
    }

    private static func message(_ status: Int32) -> String {
        var text = [UInt8](repeating: 0, count: 200)
        let length = pcre2_get_error_message_8(status, &text, text.count)
        return length > 0 ? String(decoding: text.prefix(Int(length)), as: UTF8.self) : "error \(status)"
    }

    /// The text that every match starts with, when the pattern is `^` and plain characters and no option changes them;
    /// `isWhole` when the pattern says nothing more than that prefix.
    var literalPrefix: (text: String, isWhole: Bool)? {
        guard options.allSatisfy({ $0 == "s" || $0 == "u" }), pattern.hasPrefix("^") else { return nil }
        guard !pattern.contains("|") else { return nil }
        var prefix: [Character] = []
        var rest = pattern.dropFirst()
        while let character = rest.first, !"\\^$.|?*+()[]{}".contains(character) {
            prefix.append(character)
            rest = rest.dropFirst()
        }
        // A quantifier behind the prefix makes its last character optional.
        if let next = rest.first, "?*{".contains(next), !prefix.isEmpty { prefix.removeLast() }
        guard !prefix.isEmpty else { return nil }
        return (String(prefix), rest.isEmpty || rest == ".*")
    }
}
