internal import Core
internal import LiveRuntime
internal import Quorate
internal import Server
internal import Glibc

/// The flags that choose parts, shared by every command that starts nodes.
struct PartOptions: Sendable {
    let storage: Plugin<StorageMaker>
    let transport: Plugin<any TransportNetwork>
    let electionPolicy: Plugin<any ElectionPolicy>
    /// Options by plug-in name.
    let options: [String: PluginOptions]
    let logLevel: LogLevel
    let enableTestCommands: Bool
    let oplogMegabytes: Int?

    static func specifications(_ registry: PluginRegistry) -> [OptionSpecification] {
        [
            OptionSpecification(
                "storage", .choice(registry.storage.map(\.name)), "NAME", default: "memory",
                help: "where data is kept"),
            OptionSpecification(
                "transport", .choice(registry.transports.map(\.name)), "NAME", default: "socket",
                help: "how members talk to each other"),
            OptionSpecification(
                "election-policy", .choice(registry.electionPolicies.map(\.name)), "NAME", default: "fast",
                help: "when members stand for election"),
            OptionSpecification(
                "set", .repeated, "PLUGIN.OPTION=VALUE",
                help: "an option of a part (see 'quorate plugins'), or NAME=VALUE of the server"),
            OptionSpecification(
                "oplog-size", .integer(Limits.oplogMegabytesMin...Limits.oplogMegabytesMax), "MB",
                help: "size of a member's oplog; without it, what suits the storage"),
            OptionSpecification(
                "log-level", .choice(["debug", "info", "warning", "error"]), "LEVEL", default: "warning",
                help: "which lines go to standard error"),
        ]
    }

    static func parse(_ arguments: Arguments, _ registry: PluginRegistry) throws(UsageError) -> PartOptions {
        let storage = try find(arguments, "storage", registry.storage)
        let transport = try find(arguments, "transport", registry.transports)
        let policy = try find(arguments, "election-policy", registry.electionPolicies)
        var options: [String: PluginOptions] = [:]
        var enableTestCommands = false
        let known =
            registry.storage.map { ($0.name, $0.options) } + registry.transports.map { ($0.name, $0.options) }
            + registry.electionPolicies.map { ($0.name, $0.options) }
        for setting in arguments.list("set") {
            guard let equals = setting.firstIndex(of: "=") else {
                throw UsageError("--set needs PLUGIN.OPTION=VALUE, not '\(setting)'")
            }
            let path = String(setting[..<equals])
            let value = String(setting[setting.index(after: equals)...])
            if path == "enableTestCommands" {
                guard let flag = ["1": true, "true": true, "0": false, "false": false][value] else {
                    throw UsageError("--set enableTestCommands must be 0 or 1, not '\(value)'")
                }
                enableTestCommands = flag
                continue
            }
            guard let dot = path.firstIndex(of: ".") else {
                throw UsageError(
                    "unknown setting '\(path)'" + Spelling.suggestion(for: path, among: ["enableTestCommands"])
                        + "; parts are set with PLUGIN.OPTION=VALUE")
            }
            let plugin = String(path[..<dot])
            let option = String(path[path.index(after: dot)...])
            guard let declared = known.first(where: { $0.0 == plugin })?.1 else {
                throw UsageError(
                    "unknown plug-in '\(plugin)' in --set \(setting)"
                        + Spelling.suggestion(for: plugin, among: known.map(\.0)))
            }
            guard declared.contains(where: { $0.name == option }) else {
                throw UsageError(
                    "plug-in '\(plugin)' has no option '\(option)'"
                        + Spelling.suggestion(for: option, among: declared.map(\.name)))
            }
            options[plugin, default: PluginOptions()].values[option] = value
        }
        let level: LogLevel
        switch arguments.text("log-level") {
        case "debug": level = .debug
        case "info": level = .info
        case "error": level = .error
        default: level = .warning
        }
        return PartOptions(
            storage: storage, transport: transport, electionPolicy: policy, options: options, logLevel: level,
            enableTestCommands: enableTestCommands, oplogMegabytes: arguments.integer("oplog-size"))
    }

    private static func find<Part>(
        _ arguments: Arguments, _ option: String, _ plugins: [Plugin<Part>]
    ) throws(UsageError) -> Plugin<Part> {
        let name = arguments.text(option) ?? ""
        guard let plugin = plugins.first(where: { $0.name == name }) else {
            throw UsageError("--\(option): no part called '\(name)' is registered")
        }
        return plugin
    }

    func options(of name: String) -> PluginOptions { options[name] ?? PluginOptions() }

    /// Fills in what diagnostics say about the process and the parts.
    func describe(in node: inout NodeOptions) {
        node.storageName = storage.name
        node.transportName = transport.name
        node.electionPolicyName = electionPolicy.name
        node.enableTestCommands = enableTestCommands
        node.oplogBytesMax = oplogMegabytes.map { $0 * 1024 * 1024 }
        node.processID = getpid()
        node.coreCount = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        node.memoryBytes = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
        var name = [CChar](repeating: 0, count: 256)
        if gethostname(&name, name.count - 1) == 0 {
            node.hostname = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        }
    }

    /// Makes a node of the chosen parts, on its loop.
    func makeNode(_ runtime: LiveRuntime, _ options: NodeOptions) throws -> Node {
        let network = try transport.make(self.options(of: transport.name))
        return try makeNode(runtime, options, network)
    }

    func makeNode(_ runtime: LiveRuntime, _ options: NodeOptions, _ network: any TransportNetwork) throws -> Node {
        Node(
            runtime: runtime, transport: network.makeTransport(runtime, node: "node"),
            engine: try storage.make(self.options(of: storage.name))(),
            electionPolicy: try electionPolicy.make(self.options(of: electionPolicy.name)), options: options)
    }
}
