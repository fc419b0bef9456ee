import BSON
import Core

/// `$regexMatch`, `$regexFind`, `$regexFindAll`.
enum RegexOperators {
    static let table: [String: OperatorEntry] = [
        "$regexMatch": entry("$regexMatch") { (text, regex) throws(ServerError) in
            guard let text, let regex else { return .value(.bool(false)) }
            return .work(RegexWork(try RegexSearch(regex, StringOperators.bytes(text)), .test))
        },
        "$regexFind": entry("$regexFind") { (text, regex) throws(ServerError) in
            guard let text, let regex else { return .value(.null) }
            return .work(RegexWork(try RegexSearch(regex, StringOperators.bytes(text)), .first))
        },
        "$regexFindAll": entry("$regexFindAll") { (text, regex) throws(ServerError) in
            guard let text, let regex else { return .value(.array([Value]())) }
            return .work(RegexWork(try RegexSearch(regex, StringOperators.bytes(text)), .all))
        },
    ]

    /// Finds matches and describes them, one or a part of the text at a step.
    private final class RegexWork: StepwiseWork {
        enum Kind { case test, first, all }

        private let search: RegexSearch
        private let kind: Kind
        private var results = ArrayResult()
        /// Code points before `counted`.
        private var codePoints = 0
        private var counted = 0

        init(_ search: RegexSearch, _ kind: Kind) {
            self.search = search
            self.kind = kind
        }

        func step() throws(ServerError) -> StepwiseProgress {
            let before = search.position
            switch try search.next() {
            case .none: return .more(steps: Limits.evaluationStepsPerLook)
            case .end:
                switch kind {
                case .test: return .value(.bool(false))
                case .first: return .value(.null)
                case .all: return .value(results.finish())
                }
            case .match(let ranges):
                if kind == .test { return .value(.bool(true)) }
                let result = describe(ranges)
                if kind == .first { return .value(.document(result)) }
                try results.append(.document(result))
                return .more(steps: 8 + (search.position - before) >> 5)
            }
        }

        private func describe(_ ranges: [Range<Int>?]) -> Document {
            let text = search.text
            let values = ranges.map { range in range.map { StringOperators.make(text[$0]) } ?? .null }
            let start = ranges.first.flatMap { $0 }?.lowerBound ?? 0
            if start > counted {
                for byte in text[counted..<start] where byte & 0xC0 != 0x80 { codePoints += 1 }
                counted = start
            }
            let index = codePoints
            return Document { writer in
                writer.append("match" as String, values.first ?? .null)
                writer.append("idx", int32: Int32(clamping: index))
                writer.append("captures" as String, .array(Array(values.dropFirst())))
            }
        }
    }

    private static func entry(
        _ name: String,
        _ function: @escaping @Sendable (String?, RegularExpression?) throws(ServerError) -> StepwiseResult
    ) -> OperatorEntry {
        .form { (argument, compiler) throws(ServerError) in
            let operands = try compiler.compileNamed(
                name, argument, required: ["input", "regex"], optional: ["options"])
            let names = operands.map { $0.name }
            let nodes = operands.map { $0.node }
            let call = ExpressionTree.stepwise(
                { (values) throws(ServerError) in
                    var arguments = NamedArguments()
                    for (name, value) in zip(names, values) { arguments.append(name, value) }
                    let regex = try expression(name, arguments)
                    return try function(try input(name, arguments), regex)
                }, nodes)
            return compiler.fold(call, nodes)
        }
    }

    private static func input(_ name: String, _ arguments: NamedArguments) throws(ServerError) -> String? {
        let input = arguments["input"]
        if isNullish(input) { return nil }
        guard case .string(let text) = input else {
            throw ServerError(location: 51104, "\(name) needs 'input' to be of type string")
        }
        return text
    }

    private static func expression(
        _ name: String, _ arguments: NamedArguments
    ) throws(ServerError) -> RegularExpression? {
        var options = ""
        let hasOptions = !isNullish(arguments["options"])
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
            guard own.isEmpty || !hasOptions else {
                throw ServerError(
                    location: 51107, "\(name) found regex option(s) specified in both 'regex' and 'option' fields")
            }
            pattern = text
            if options.isEmpty { options = own }
        default: throw ServerError(location: 51105, "\(name) needs 'regex' to be of type string or regex")
        }
        guard !options.utf8.contains(0) else {
            throw ServerError(location: 51110, "\(name): regex options cannot contain an embedded null byte")
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
}
