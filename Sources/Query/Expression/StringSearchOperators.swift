import BSON
import Core

/// `$split`, `$indexOfBytes`, `$indexOfCP`, `$replaceOne`, `$replaceAll`.
enum StringSearchOperators {
    static let table: [String: OperatorEntry] = [
        "$split": .stepwise(2, 2, split),
        "$indexOfBytes": .positional(2, 4, indexOfBytes),
        "$indexOfCP": .positional(2, 4, indexOfCodePoints),
        "$replaceOne": replaceEntry("$replaceOne", all: false),
        "$replaceAll": replaceEntry("$replaceAll", all: true),
    ]

    /// Offset of `needle` in `text` from `start` on, before `end`. Linear in both.
    static func find(_ needle: [UInt8], in text: [UInt8], from start: Int, to end: Int) -> Int? {
        guard start <= end, needle.count <= end - start else { return nil }
        return text.withUnsafeBytes { text in
            needle.withUnsafeBytes { needle in
                ByteSearch.find(needle, in: UnsafeRawBufferPointer(rebasing: text[start..<end])).map { start + $0 }
            }
        }
    }

    /// Goes over the places where a string is found in another, some at a time, and makes something of each.
    private final class Searching: StepwiseWork {
        private let text: [UInt8]
        private let needle: [UInt8]
        private var start = 0
        /// Takes the bytes between two places; nil ends the search.
        private let take: (ArraySlice<UInt8>) throws(ServerError) -> Void
        private let finish: (ArraySlice<UInt8>) throws(ServerError) -> Value
        private static let placesPerStep = 64

        init(
            _ needle: [UInt8], in text: [UInt8], take: @escaping (ArraySlice<UInt8>) throws(ServerError) -> Void,
            finish: @escaping (ArraySlice<UInt8>) throws(ServerError) -> Value
        ) {
            self.text = text
            self.needle = needle
            self.take = take
            self.finish = finish
        }

        func step() throws(ServerError) -> StepwiseProgress {
            let before = start
            for _ in 0..<Searching.placesPerStep {
                guard let at = find(needle, in: text, from: start, to: text.count) else {
                    return .value(try finish(text[start...]))
                }
                try take(text[start..<at])
                start = at + needle.count
            }
            return .more(steps: Searching.placesPerStep + (start - before) >> 7)
        }
    }

    private static func split(_ operands: [Value?]) throws(ServerError) -> StepwiseResult {
        if isNullish(operands[0]) || isNullish(operands[1]) { return .value(.null) }
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
        var parts = ArrayResult()
        return .work(
            Searching(
                StringOperators.bytes(separator), in: StringOperators.bytes(text),
                take: { (part) throws(ServerError) in try parts.append(StringOperators.make(part)) },
                finish: { (part) throws(ServerError) in
                    try parts.append(StringOperators.make(part))
                    return parts.finish()
                }))
    }

    private static func indexOfBytes(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard let (text, needle) = try searched("$indexOfBytes", operands, 40091, 40092) else { return .null }
        let (start, end) = try bounds("$indexOfBytes", operands)
        let bytes = StringOperators.bytes(text)
        return .int32(
            Int32(
                clamping: find(StringOperators.bytes(needle), in: bytes, from: start, to: min(end, bytes.count)) ?? -1))
    }

    private static func indexOfCodePoints(_ operands: [Value?]) throws(ServerError) -> Value? {
        guard let (text, needle) = try searched("$indexOfCP", operands, 40093, 40094) else { return .null }
        let (start, end) = try bounds("$indexOfCP", operands)
        let scalars = text.unicodeScalars
        guard start <= end, let first = scalars.index(scalars.startIndex, offsetBy: start, limitedBy: scalars.endIndex)
        else { return .int32(-1) }
        let last = scalars.index(first, offsetBy: end - start, limitedBy: scalars.endIndex) ?? scalars.endIndex
        let bytes = StringOperators.bytes(text)
        let from = text.utf8.distance(from: text.utf8.startIndex, to: first)
        let to = text.utf8.distance(from: text.utf8.startIndex, to: last)
        guard let at = find(StringOperators.bytes(needle), in: bytes, from: from, to: to) else { return .int32(-1) }
        let codePoints = bytes[from..<at].reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
        return .int32(Int32(clamping: start + codePoints))
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

    private static func bounds(_ name: String, _ operands: [Value?]) throws(ServerError) -> (start: Int, end: Int) {
        (
            operands.count > 2 ? try bound(name, operands[2], "starting") : 0,
            operands.count > 3 ? try bound(name, operands[3], "ending") : Int(Int32.max)
        )
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
        .form { (argument, compiler) throws(ServerError) in
            let operands = try compiler.compileNamed(
                name, argument, required: ["input", "find", "replacement"], optional: [])
            let names = operands.map { $0.name }
            let nodes = operands.map { $0.node }
            let call = ExpressionTree.stepwise(
                { (values) throws(ServerError) in
                    var arguments = NamedArguments()
                    for (name, value) in zip(names, values) { arguments.append(name, value) }
                    return try replace(name, arguments, all: all)
                }, nodes)
            return compiler.fold(call, nodes)
        }
    }

    private static func replace(
        _ name: String, _ arguments: NamedArguments, all: Bool
    ) throws(ServerError) -> StepwiseResult {
        let input = try replaceOperand(name, arguments, "input", 51746)
        let find = try replaceOperand(name, arguments, "find", 51745)
        let replacement = try replaceOperand(name, arguments, "replacement", 51744)
        guard let input, let find, let replacement else { return .value(.null) }
        var result: [UInt8] = []
        guard all, !find.isEmpty else { return .value(try replaceOnce(find, in: input, by: replacement, all: all)) }
        return .work(
            Searching(
                find, in: input,
                take: { (part) throws(ServerError) in
                    result += part
                    result += replacement
                    try EvaluationMemory.check(result.count)
                },
                finish: { (part) throws(ServerError) in StringOperators.make(result + part) }))
    }

    private static func replaceOperand(
        _ name: String, _ arguments: NamedArguments, _ key: String, _ code: Int32
    ) throws(ServerError) -> [UInt8]? {
        let value = arguments[key]
        if isNullish(value) { return nil }
        guard case .string(let text) = value else {
            throw ServerError(location: code, "\(name) requires that '\(key)' be a string, found: \(typeName(value))")
        }
        return StringOperators.bytes(text)
    }

    /// `$replaceOne`, and `$replaceAll` of nothing, which is found in front of every character and at the end.
    private static func replaceOnce(
        _ needle: [UInt8], in text: [UInt8], by replacement: [UInt8], all: Bool
    ) throws(ServerError) -> Value {
        var result: [UInt8] = []
        if all {
            for byte in text {
                if byte & 0xC0 != 0x80 { result += replacement }
                result.append(byte)
                try EvaluationMemory.check(result.count)
            }
            result += replacement
        } else if let at = find(needle, in: text, from: 0, to: text.count) {
            result = text[..<at] + replacement + text[(at + needle.count)...]
        } else {
            result = text
        }
        return StringOperators.make(result)
    }
}
