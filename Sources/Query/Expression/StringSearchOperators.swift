import BSON
import Core

/// `$split`, `$indexOfBytes`, `$indexOfCP`, `$replaceOne`, `$replaceAll`.
enum StringSearchOperators {
    static let table: [String: OperatorEntry] = [
        "$split": .binary(split),
        "$indexOfBytes": .positional(2, 4, indexOfBytes),
        "$indexOfCP": .positional(2, 4, indexOfCodePoints),
        "$replaceOne": replaceEntry("$replaceOne", all: false),
        "$replaceAll": replaceEntry("$replaceAll", all: true),
    ]

    /// Offset of `needle` in `text` from `start` on, before `end`.
    static func find<T: Equatable>(_ needle: [T], in text: [T], from start: Int, to end: Int) -> Int? {
        guard needle.count <= end - start else { return nil }
        var at = start
        while at + needle.count <= end {
            if text[at..<(at + needle.count)].elementsEqual(needle) { return at }
            at += 1
        }
        return nil
    }

    private static func split(_ operands: [Value?]) throws(ServerError) -> Value? {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .null }
        guard case .string(let text) = operands[0] else {
            throw ServerError(
                location: 40085,
                "$split requires an expression that evaluates to a string as a first argument, found: "
                    + typeName(operands[0]))
        }
        guard case .string(let separator) = operands[1] else {
            throw ServerError(
                location: 40086,
                "$split requires an expression that evaluates to a string as a second argument, found: "
                    + typeName(operands[1]))
        }
        guard !separator.isEmpty else { throw ServerError(location: 40087, "$split requires a non-empty separator") }
        let bytes = Array(text.utf8)
        let needle = Array(separator.utf8)
        var parts: [Value] = []
        var start = 0
        while let at = find(needle, in: bytes, from: start, to: bytes.count) {
            parts.append(StringOperators.make(bytes[start..<at]))
            start = at + needle.count
        }
        parts.append(StringOperators.make(bytes[start...]))
        return .array(parts)
    }

    private static func indexOfBytes(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard let (text, needle) = try searched("$indexOfBytes", operands, 40091, 40092) else { return .null }
        return try index("$indexOfBytes", operands, Array(text.utf8), Array(needle.utf8))
    }

    private static func indexOfCodePoints(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard let (text, needle) = try searched("$indexOfCP", operands, 40093, 40094) else { return .null }
        return try index("$indexOfCP", operands, Array(text.unicodeScalars), Array(needle.unicodeScalars))
    }

    private static func searched(
        _ name: String, _ operands: [Value?], _ first: Int32, _ second: Int32
    ) throws(ServerError) -> (text: String, needle: String)? {
        if isNullish(operands[0]) { return nil }
        guard case .string(let text) = operands[0] else {
            throw ServerError(
                location: first, "\(name) requires a string as the first argument, found: \(typeName(operands[0]))")
        }
        guard case .string(let needle) = operands[1] else {
            throw ServerError(
                location: second, "\(name) requires a string as the second argument, found: \(typeName(operands[1]))")
        }
        return (text, needle)
    }

    private static func index<T: Equatable>(
        _ name: String, _ operands: [Value?], _ text: [T], _ needle: [T]
    ) throws(ServerError) -> Value {
        let start = operands.count > 2 ? try bound(name, operands[2], "starting") : 0
        let end = min(text.count, operands.count > 3 ? try bound(name, operands[3], "ending") : text.count)
        guard start <= end, let at = find(needle, in: text, from: start, to: end) else { return .int32(-1) }
        return .int32(Int32(truncatingIfNeeded: at))
    }

    /// A bound of `$indexOf…`.
    static func bound(_ name: String, _ value: Value?, _ which: String) throws(ServerError) -> Int {
        guard let whole = value?.asInteger, let narrow = Int32(exactly: whole) else {
            throw ServerError(
                location: 40096,
                "\(name) requires an integral \(which) index, found a value of type: \(typeName(value))")
        }
        guard narrow >= 0 else {
            throw ServerError(location: 40097, "\(name) requires a nonnegative \(which) index, found: \(narrow)")
        }
        return Int(narrow)
    }

    private static func replaceEntry(_ name: String, all: Bool) -> OperatorEntry {
        .named(required: ["input", "find", "replacement"], optional: []) { (arguments) throws(ServerError) in
            let input = try replaceOperand(name, arguments, "input", 51746)
            let find = try replaceOperand(name, arguments, "find", 51745)
            let replacement = try replaceOperand(name, arguments, "replacement", 51744)
            guard let input, let find, let replacement else { return .null }
            return StringOperators.make(replace(find, in: input, by: replacement, all: all))
        }
    }

    private static func replaceOperand(
        _ name: String, _ arguments: NamedArguments, _ key: String, _ code: Int32
    ) throws(ServerError) -> [UInt8]? {
        let value = arguments[key]
        if isNullish(value) { return nil }
        guard case .string(let text) = value else {
            throw ServerError(location: code, "\(name) requires that '\(key)' be a string, found: \(typeName(value))")
        }
        return Array(text.utf8)
    }

    private static func replace(_ needle: [UInt8], in text: [UInt8], by replacement: [UInt8], all: Bool) -> [UInt8] {
        var result: [UInt8] = []
        var start = 0
        if needle.isEmpty {
            // An empty string is found in front of every character and at the end.
            guard all else { return replacement + text }
            for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
                result += replacement
                result += Array(String(scalar).utf8)
            }
            return result + replacement
        }
        while let at = find(needle, in: text, from: start, to: text.count) {
            result += text[start..<at]
            result += replacement
            start = at + needle.count
            if !all { break }
        }
        return result + text[start...]
    }
}
