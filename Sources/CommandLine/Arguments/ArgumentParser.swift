/// What a command line asks for.
public enum ParsedCommand: Sendable {
    case run(CommandSpecification, Arguments)
    case help(String)
    case version
}

/// Reads a command line by a tree of specifications.
public struct ArgumentParser {
    private let root: CommandSpecification

    public init(_ root: CommandSpecification) { self.root = root }

    /// Parses `arguments`, program name first.
    /// - Throws: `UsageError` with one line that says what is wrong and what would be right.
    public func parse(_ arguments: [String]) throws(UsageError) -> ParsedCommand {
        var command = root
        var path = [root.name]
        var rest = arguments.dropFirst()
        if path.count == 1, rest.first == "--version" { return .version }
        while !command.subcommands.isEmpty {
            guard let next = rest.first else { return .help(Help.text(command, path: path)) }
            if next == "--help" || next == "-h" || next == "help" { return .help(Help.text(command, path: path)) }
            guard let subcommand = command.subcommands.first(where: { $0.name == next }) else {
                throw unknown(
                    next.hasPrefix("-") ? "option" : "command", next, among: command.subcommands.map(\.name), path)
            }
            command = subcommand
            path.append(next)
            rest = rest.dropFirst()
        }
        return try parse(command, path, Array(rest), all: arguments)
    }

    private func parse(
        _ command: CommandSpecification, _ path: [String], _ words: [String], all: [String]
    ) throws(UsageError) -> ParsedCommand {
        var arguments = Arguments(all: all)
        for option in command.options { arguments.defaults[option.name] = option.defaultValue }
        let takesRest = command.positionals.last?.hasSuffix("…") == true
        var index = 0
        var onlyPositionals = false
        while index < words.count {
            let word = words[index]
            index += 1
            if onlyPositionals || !word.hasPrefix("-") || word == "-" {
                arguments.positionals.append(word)
                guard takesRest || arguments.positionals.count <= command.positionals.count else {
                    throw UsageError("unexpected argument '\(word)'; see '\(path.joined(separator: " ")) --help'")
                }
                continue
            }
            if word == "--" {
                onlyPositionals = true
                continue
            }
            if word == "--help" || word == "-h" { return .help(Help.text(command, path: path)) }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let option = command.options.first(where: { "--" + $0.name == parts[0] }) else {
                throw unknown("option", parts[0], among: command.options.map { "--" + $0.name }, path)
            }
            var value = parts.count == 2 ? parts[1] : nil
            if case .flag = option.kind {
                guard value == nil else { throw UsageError("--\(option.name) takes no value") }
                arguments.values[option.name] = ["true"]
                continue
            }
            if value == nil, index < words.count {
                value = words[index]
                index += 1
            }
            guard let value else { throw UsageError("--\(option.name) needs a value: \(option.placeholder)") }
            try check(value, for: option)
            if case .repeated = option.kind {
                arguments.values[option.name, default: []].append(value)
            } else {
                arguments.values[option.name] = [value]
            }
        }
        let required = command.positionals.filter { !$0.hasPrefix("[") && !$0.hasSuffix("…") }.count
        guard arguments.positionals.count >= required else {
            throw UsageError(
                "missing \(command.positionals[arguments.positionals.count]); "
                    + "see '\(path.joined(separator: " ")) --help'"
            )
        }
        return .run(command, arguments)
    }

    private func check(_ value: String, for option: OptionSpecification) throws(UsageError) {
        switch option.kind {
        case .integer(let range):
            guard let number = Int(value), range.contains(number) else {
                throw UsageError(
                    "--\(option.name) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
                        + "not '\(value)'"
                )
            }
        case .choice(let names):
            if let why = option.refusals[value] { throw UsageError(why) }
            guard names.contains(value) else {
                throw UsageError(
                    "--\(option.name) must be one of \(names.joined(separator: ", ")), not '\(value)'"
                        + Spelling.suggestion(for: value, among: names))
            }
        case .flag, .text, .repeated: break
        }
    }

    private func unknown(_ what: String, _ word: String, among names: [String], _ path: [String]) -> UsageError {
        UsageError(
            "unknown \(what) '\(word)'" + Spelling.suggestion(for: word, among: names)
                + "; see '\(path.joined(separator: " ")) --help'")
    }
}
