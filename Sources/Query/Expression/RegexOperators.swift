import BSON
import Core

/// `$regexMatch`, `$regexFind`, `$regexFindAll`.
enum RegexOperators {
    static let table: [String: OperatorEntry] = [
        "$regexMatch": entry("$regexMatch") { (text, regex) throws(ServerError) in
            guard let text, let regex else { return .bool(false) }
            return .bool(try Array(text.utf8).withName { (utf8) throws(ServerError) in try regex.matches(utf8) })
        },
        "$regexFind": entry("$regexFind") { (text, regex) throws(ServerError) in
            guard let text, let regex else { return .null }
            let bytes = Array(text.utf8)
            guard let ranges = try find(regex, bytes, 0) else { return .null }
            return describe(ranges, bytes)
        },
        "$regexFindAll": entry("$regexFindAll") { (text, regex) throws(ServerError) in
            guard let text, let regex else { return .array([Value]()) }
            return .array(try findAll(regex, Array(text.utf8)))
        },
    ]

    private static func entry(
        _ name: String,
        _ function: @escaping @Sendable (String?, RegularExpression?) throws(ServerError) -> Value
    ) -> OperatorEntry {
        .named(required: ["input", "regex"], optional: ["options"]) { (arguments) throws(ServerError) in
            let input = arguments["input"]
            var text: String?
            if !isNullish(input) {
                guard case .string(let string) = input else {
                    throw ServerError(location: 51104, "\(name) needs 'input' to be of type string")
                }
                text = string
            }
            return try function(text, try expression(name, arguments))
        }
    }

    private static func expression(
        _ name: String, _ arguments: NamedArguments
    ) throws(ServerError) -> RegularExpression? {
        var options = ""
        if case .string(let text) = arguments["options"] {
            options = text
        } else if !isNullish(arguments["options"]) {
            throw ServerError(location: 51106, "\(name) needs 'options' to be of type string")
        }
        var pattern: String
        switch arguments["regex"] {
        case nil, .null, .undefined: return nil
        case .string(let text): pattern = text
        case .regex(let text, let own):
            guard own.isEmpty || options.isEmpty else {
                throw ServerError(
                    location: 51107, "\(name) found regex option(s) specified in both 'regex' and 'option' fields")
            }
            pattern = text
            if options.isEmpty { options = own }
        default: throw ServerError(location: 51105, "\(name) needs 'regex' to be of type string or regex")
        }
        guard !pattern.utf8.contains(0) else {
            throw ServerError(location: 51109, "\(name): regular expression cannot contain an embedded null byte")
        }
        do throws(ServerError) {
            return try RegularExpression(pattern: pattern, options: options)
        } catch {
            guard error.code.rawValue == 51091 else { throw error }
            throw ServerError(location: 51111, "Invalid Regex in \(name): \(error.message)")
        }
    }

    /// Byte ranges of the match and its groups, from `start` on; a group that took no part has none.
    private static func find(
        _ regex: RegularExpression, _ text: [UInt8], _ start: Int
    ) throws(ServerError) -> [Range<Int>?]? {
        try text.withName { (utf8) throws(ServerError) in try regex.firstMatch(utf8, from: start) }
    }

    private static func findAll(_ regex: RegularExpression, _ text: [UInt8]) throws(ServerError) -> [Value] {
        var results: [Value] = []
        var bytes = 0
        var start = 0
        while start < text.count || (start == 0 && text.isEmpty), let ranges = try find(regex, text, start),
            let match = ranges.first.flatMap({ $0 })
        {
            // At the end of the text an empty match is no further match.
            if match.isEmpty, match.lowerBound == text.count, !text.isEmpty { break }
            let result = describe(ranges, text)
            bytes += result.memoryBytes
            guard bytes <= Limits.expressionValueBytesMax else {
                throw ServerError(
                    .exceededMemoryLimit,
                    "$regexFindAll: the matches take more than \(Limits.expressionValueBytesMax) bytes")
            }
            results.append(result)
            start = match.upperBound
            if match.isEmpty {
                start += 1
                while start < text.count, text[start] & 0xC0 == 0x80 { start += 1 }
            }
        }
        return results
    }

    private static func describe(_ ranges: [Range<Int>?], _ text: [UInt8]) -> Value {
        let values = ranges.map { range in range.map { StringOperators.make(text[$0]) } ?? .null }
        // The index counts code points.
        let before = text[..<(ranges.first.flatMap { $0 }?.lowerBound ?? 0)].filter { $0 & 0xC0 != 0x80 }.count
        return .document(
            Document { writer in
                writer.append("match" as String, values.first ?? .null)
                writer.append("idx", int32: Int32(truncatingIfNeeded: before))
                writer.append("captures" as String, .array(Array(values.dropFirst())))
            })
    }
}
