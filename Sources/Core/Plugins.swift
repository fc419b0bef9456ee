/// One named option of a plug-in, set with `--set plugin.option=value`.
public struct PluginOption: Sendable {
    public let name: String
    public let help: String
    public let defaultValue: String
    public init(_ name: String, default defaultValue: String, help: String) {
        self.name = name
        self.defaultValue = defaultValue
        self.help = help
    }
}

/// The values of a plug-in's options that a user set; every name has been checked against the plug-in's list.
public struct PluginOptions: Sendable {
    public var values: [String: String]
    public init(_ values: [String: String] = [:]) { self.values = values }
}

/// A bad option value, for one line on stderr or an error of the builder.
public struct PluginOptionError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
