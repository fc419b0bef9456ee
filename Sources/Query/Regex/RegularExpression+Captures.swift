import BSON
import CPCRE2
import Core

extension RegularExpression {
    /// The first match at or behind byte `start` of `utf8`: its byte range and those of its groups, nil for a group
    /// that took no part. Throws 51156 when a limit is reached.
    func firstMatch(
        _ utf8: UnsafeRawBufferPointer, from start: Int
    ) throws(ServerError) -> [Range<Int>?]? {
        guard let data = pcre2_match_data_create_from_pattern_8(code, nil) else {
            throw ServerError(.exceededMemoryLimit, "no memory for the groups of a regular expression")
        }
        defer { pcre2_match_data_free_8(data) }
        let base = utf8.start.assumingMemoryBound(to: UInt8.self)
        let result = pcre2_match_8(code, base, utf8.count, start, 0, data, matchContext)
        guard result >= 0 else {
            if result == PCRE2_ERROR_NOMATCH { return nil }
            throw ServerError(
                ErrorCode(rawValue: 51156),
                "Error occurred while executing regular expression. Result code: \(result)")
        }
        guard let offsets = pcre2_get_ovector_pointer_8(data) else { return nil }
        return (0..<Int(pcre2_get_ovector_count_8(data))).map { group in
            let (lower, upper) = (offsets[2 * group], offsets[2 * group + 1])
            // A group that took no part has the largest offset; `\K` in a look-ahead can turn a range around.
            guard group < Int(result), lower <= upper, upper <= utf8.count else { return nil }
            return lower..<upper
        }
    }
}
