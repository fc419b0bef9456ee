internal import Core
internal import Glibc
internal import Quorate
internal import DataNode
internal import Router

/// The flags that every command takes which starts nodes: their parts, and what they are like whatever the parts.
struct NodeFlags: Sendable {
    var parts = PartChoices()
    let logLevel: LogLevel
    /// The data of a backup are to become a new set's.
    let startsNewSet: Bool
    private var enableTestCommands = false
    private var createRollbackDataFiles = true
    private var sessionRecordLifetimeMinutes: Int32?
    private var orphanCleanupDelay = Limits.orphanCleanupDelay
    private let oplogMegabytes: Int?
    private let oplogMinRetentionHours: Double
    private let arguments: [String]

    /// - Parameter isSharded: whether the command has a use for shard key strategies.
    static func specifications(_ registry: PartRegistry, isSharded: Bool = false) -> [OptionSpecification] {
        PartFlags.specifications(registry, isSharded: isSharded) + [
            OptionSpecification(
                "data", .text, "DIRECTORY",
                help: "where storage keeps its files; with it, --storage is 'file' unless it is given"),
            OptionSpecification("dbpath", .text, "DIRECTORY", help: "another name of --data"),
            OptionSpecification(
                "new-set", .flag, help: "makes a new replica set of the data of a backup; refused for a member's data"),
            OptionSpecification(
                "oplog-size", .integer(Limits.oplogMegabytesMin...Limits.oplogMegabytesMax), "MB",
                help: "size of a member's oplog; without it, what suits the storage"),
            OptionSpecification(
                "oplog-min-retention-hours", .text, "HOURS", default: "0",
                help: "entries of a member's oplog are kept so long, whatever its size; fractions are allowed"),
            OptionSpecification(
                "log-level", .choice(["debug", "info", "warning", "error"]), "LEVEL", default: "warning",
                help: "which lines go to standard error"),
        ]
    }

    /// - Parameter port: where the first node listens.
    init(_ arguments: Arguments, _ registry: PartRegistry, port: Int = 0) throws {
        let directory = arguments.text("data") ?? arguments.text("dbpath")
        let flags = try PartFlags(arguments, registry, defaults: directory == nil ? [:] : ["storage": "file"])
        parts.storage = try flags.choice(.storage, registry)
        parts.transport = .named(try flags.choice(.transport, registry), firstPort: port)
        parts.elections = try flags.choice(.electionPolicy, registry)
        parts.readSelector = try flags.choice(.readSelector, registry)
        parts.shardKeyStrategy = try flags.choice(.shardKeyStrategy, registry)
        parts.directory = directory
        if directory == "" { throw UsageError("--data and --dbpath must not be empty") }
        if arguments.isGiven("data"), arguments.isGiven("dbpath"), arguments.text("dbpath") != directory {
            throw UsageError("--data and --dbpath are one option, and were given different directories")
        }
        logLevel = LogLevel(named: arguments.text("log-level"))
        startsNewSet = arguments.isGiven("new-set")
        oplogMegabytes = arguments.integer("oplog-size")
        let hours = arguments.text("oplog-min-retention-hours") ?? "0"
        guard let number = Double(hours), (0...Double(Limits.oplogRetentionHoursMax)).contains(number) else {
            throw UsageError(
                "--oplog-min-retention-hours must be from 0 to \(Limits.oplogRetentionHoursMax), not '\(hours)'")
        }
        oplogMinRetentionHours = number
        self.arguments = arguments.all
        for (name, value) in flags.others { try set(name, to: value) }
    }

    private static let settings = [
        "createRollbackDataFiles", "enableTestCommands", "orphanCleanupDelaySecs",
        "TransactionRecordMinimumLifetimeMinutes",
    ]

    private static func flag(_ name: String, _ value: String) throws(UsageError) -> Bool {
        guard let flag = ["1": true, "true": true, "0": false, "false": false][value] else {
            throw UsageError("--set \(name) must be 0 or 1, not '\(value)'")
        }
        return flag
    }

    private mutating func set(_ name: String, to value: String) throws(UsageError) {
        switch name {
        case "createRollbackDataFiles": createRollbackDataFiles = try Self.flag(name, value)
        case "enableTestCommands": enableTestCommands = try Self.flag(name, value)
        case "orphanCleanupDelaySecs":
            guard let seconds = Int64(value), (0...Int64(Int32.max)).contains(seconds) else {
                throw UsageError("--set \(name) must be a whole number of seconds, not '\(value)'")
            }
            orphanCleanupDelay = .seconds(seconds)
        case "TransactionRecordMinimumLifetimeMinutes":
            guard let minutes = Int32(value), minutes >= 0 else {
                throw UsageError("--set \(name) must be a whole number of minutes, not '\(value)'")
            }
            sessionRecordLifetimeMinutes = minutes
        default:
            throw UsageError(
                "unknown setting '\(name)'" + Spelling.suggestion(for: name, among: Self.settings)
                    + "; parts are set with PART.OPTION=VALUE")
        }
    }

    /// Fills in what the flags and the machine say about a router.
    func describe(_ router: inout RouterOptions) {
        var node = NodeOptions(endpoint: router.endpoint)
        describe(&node)
        router.arguments = arguments
        router.enableTestCommands = enableTestCommands
        router.processID = node.processID
        router.coreCount = node.coreCount
        router.memoryBytes = node.memoryBytes
        router.hostname = node.hostname
    }

    /// Fills in what the flags and the machine say about a node.
    func describe(_ node: inout NodeOptions) {
        node.arguments = arguments
        node.startsNewSet = startsNewSet
        node.enableTestCommands = enableTestCommands
        node.createRollbackDataFiles = createRollbackDataFiles
        node.orphanCleanupDelay = orphanCleanupDelay
        if let sessionRecordLifetimeMinutes { node.sessionRecordLifetimeMinutes = sessionRecordLifetimeMinutes }
        node.oplogMinRetentionHours = oplogMinRetentionHours
        node.oplogBytesMax = oplogMegabytes.map { $0 * 1024 * 1024 }
        node.processID = getpid()
        node.coreCount = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        node.memoryBytes = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
        var name = [CChar](repeating: 0, count: 256)
        if gethostname(&name, name.count - 1) == 0 {
            node.hostname = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        }
    }
}

extension LogLevel {
    /// As `--log-level` names it.
    init(named name: String?) {
        self =
            switch name {
            case "debug": .debug
            case "info": .info
            case "error": .error
            default: .warning
            }
    }
}
