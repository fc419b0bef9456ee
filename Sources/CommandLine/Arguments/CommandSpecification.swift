/// One command of a command line: its options, its subcommands and what it does.
public struct CommandSpecification: Sendable {
    public let name: String
    /// One line for the list of commands.
    public let summary: String
    /// Paragraphs for `--help`, behind the usage line.
    public let details: String
    /// Names of positional arguments in order, as the usage line shows them. One ending in `…` takes the rest.
    public let positionals: [String]
    public let options: [OptionSpecification]
    public let subcommands: [CommandSpecification]
    /// Runs the command and returns the exit status; nil for a command that only has subcommands.
    public let run: (@Sendable (Arguments) async throws -> Int32)?

    public init(
        _ name: String, summary: String, details: String = "", positionals: [String] = [],
        options: [OptionSpecification] = [], subcommands: [CommandSpecification] = [],
        run: (@Sendable (Arguments) async throws -> Int32)? = nil
    ) {
        self.name = name
        self.summary = summary
        self.details = details
        self.positionals = positionals
        self.options = options
        self.subcommands = subcommands
        self.run = run
    }
}

/// One option: `--name VALUE`, or `--name` for a flag.
public struct OptionSpecification: Sendable {
    public enum Kind: Sendable {
        case flag
        case text
        case integer(ClosedRange<Int>)
        /// One of these names.
        case choice([String])
        /// May be given several times.
        case repeated
    }

    public let name: String
    public let kind: Kind
    /// What stands for the value in the help: `N`, `NAME`, `HOST`.
    public let placeholder: String
    public let defaultValue: String?
    public let help: String
    /// Values that are refused with a line of their own.
    public let refusals: [String: String]

    public init(
        _ name: String, _ kind: Kind, _ placeholder: String = "", default defaultValue: String? = nil, help: String,
        refusals: [String: String] = [:]
    ) {
        self.refusals = refusals
        self.name = name
        self.kind = kind
        self.placeholder = placeholder
        self.defaultValue = defaultValue
        self.help = help
    }
}

/// The arguments of one command, checked against its specification.
public struct Arguments: Sendable {
    /// The command line as it was given, program name first.
    public let all: [String]
    public internal(set) var positionals: [String] = []
    var values: [String: [String]] = [:]
    var defaults: [String: String] = [:]

    init(all: [String]) { self.all = all }

    public func flag(_ name: String) -> Bool { values[name] != nil }
    /// The option's value, its default, or nil.
    public func text(_ name: String) -> String? { values[name]?.last ?? defaults[name] }
    public func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }
    public func list(_ name: String) -> [String] { values[name] ?? [] }
    /// Whether the user gave the option.
    public func isGiven(_ name: String) -> Bool { values[name] != nil }
}

/// A command line that cannot be understood: one line for stderr, exit status 64 (`EX_USAGE`).
public struct UsageError: Error, CustomStringConvertible, Sendable {
    public let description: String
    public init(_ description: String) { self.description = description }
    /// The exit status of a usage error.
    public static let exitStatus: Int32 = 64
}
