/// One named option of a part, set with `--set part.option=value`.
public struct PartOption: Sendable {
    public let name: String
    public let help: String
    public let defaultValue: String
    public init(_ name: String, default defaultValue: String, help: String) {
        self.name = name
        self.defaultValue = defaultValue
        self.help = help
    }
}

/// The values of a part's options that a user set; every name has been checked against the part's list.
public struct PartOptions: Sendable {
    public var values: [String: String]
    public init(_ values: [String: String] = [:]) { self.values = values }
}

/// A part that cannot be had as it was asked for: a name that nothing is registered under, an option that it has not,
/// a bad value. For one line on standard error or an error of the builder.
public struct PartOptionError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
