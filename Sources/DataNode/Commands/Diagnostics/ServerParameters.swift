internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `getParameter` and `setParameter`: what can be asked for and, where it says so, set.
enum ServerParameters {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("getParameter", [.adminOnly], .parameters, help: "server parameters, one, several or '*'") {
                context in
                let all = parameters(of: context.node)
                if context.argument.asString == "*" || context.argument.asDocument?["allParameters"]?.isTruthy == true {
                    for (name, value) in all { context.writer.append(name, value) }
                    return .done
                }
                var found = false
                for element in context.body.dropFirst() where !GenericArguments.isGeneric(element.key) {
                    let name = element.key.string
                    guard let value = all.first(where: { $0.name == name })?.value else { continue }
                    context.writer.append(name, value)
                    found = true
                }
                guard found else {
                    throw ServerError(.invalidOptions, "no option found to get; getParameter: '*' lists all")
                }
                return .done
            })
        table.add(
            Command("setParameter", [.adminOnly], .parameters, help: "sets a server parameter") { context in
                let known = parameters(of: context.node)
                var first: Value?
                for element in context.body.dropFirst() where !GenericArguments.isGeneric(element.key) {
                    let name = element.key.string
                    guard let current = known.first(where: { $0.name == name })?.value else {
                        if let meaning = missing.first(where: { name.hasPrefix($0.prefix) })?.meaning {
                            throw ServerError(
                                .commandNotSupported, "The parameter '\(name)' is not supported yet: \(meaning)")
                        }
                        throw ServerError(
                            .invalidOptions,
                            "attempted to set unrecognized parameter [\(name)], use help:true to see options")
                    }
                    if try !set(name, element.value, context.node) {
                        // To set what is so already asks for nothing.
                        guard isSame(Value(element.value), current) else {
                            throw ServerError(
                                .illegalOperation, "not allowed to change [\(name)] at runtime")
                        }
                    }
                    first = first ?? current
                }
                guard let first else {
                    throw ServerError(.invalidOptions, "no option found to set, use help:true to see options")
                }
                // Of several, that of the first.
                context.writer.append("was" as String, first)
                return .done
            })
    }

    /// Parameters that MongoDB has and that would promise something here, by what their names begin with.
    private static let missing: [(prefix: String, meaning: String)] = [
        ("ingressConnectionEstablishment", "a limit on how many connections are taken a second"),
        ("ingressRequest", "a limit on how many requests are taken a second"),
    ]

    private static func isSame(_ a: Value, _ b: Value) -> Bool {
        if let a = a.asNumber, let b = b.asNumber { return a == b }
        return a == b
    }

    /// Changes a parameter; false for one that cannot be changed at run time.
    private static func set(_ name: String, _ value: ValueView, _ node: Node) throws(ServerError) -> Bool {
        switch name {
        case "ttlMonitorEnabled":
            guard value.type == .bool || value.type.isNumber else { throw wrongType(name, value, "bool") }
            node.ttl.isEnabled = value.isTruthy
        case "createRollbackDataFiles":
            guard value.type == .bool || value.type.isNumber else { throw wrongType(name, value, "bool") }
            node.data.keepsRolledBack = value.isTruthy
        case "ttlMonitorSleepSecs": node.ttl.periodic.pause = .seconds(try positive(name, value))
        case "cursorTimeoutMillis": node.frontend.cursors.idleMax = .milliseconds(try positive(name, value))
        case "orphanCleanupDelaySecs":
            guard let shard = node.shard else { return false }
            shard.orphanCleanupDelay = .seconds(try positive(name, value, atLeast: 0))
        default: return false
        }
        return true
    }

    private static func positive(_ name: String, _ value: ValueView, atLeast least: Int64 = 1) throws(ServerError)
        -> Int64
    {
        guard value.type.isNumber else { throw wrongType(name, value, "int") }
        guard let number = value.asInteger ?? value.asNumber.flatMap({ Int64(exactly: $0) }), number >= least,
            number <= Int64(Int32.max)
        else {
            throw ServerError(
                .badValue,
                "Invalid value for parameter \(name): \(Value(value)) is not a whole number greater than 0")
        }
        return number
    }

    private static func parameters(of node: Node) -> [(name: String, value: Value)] {
        common(node)
            + (node.shard.map {
                [("orphanCleanupDelaySecs", .int64($0.orphanCleanupDelay.wholeMilliseconds / 1000))]
            } ?? [])
    }

    private static func common(_ node: Node) -> [(name: String, value: Value)] {
        [
            ("enableTestCommands", .bool(node.options.enableTestCommands)),
            ("authenticationMechanisms", .array([])),
            ("featureCompatibilityVersion", ["version": .string(FeatureCompatibility.version(node))]),
            ("createRollbackDataFiles", .bool(node.data.keepsRolledBack)),
            ("quiet", false),
            ("logLevel", 0),
            ("notablescan", false),
            ("internalQueryMaxBlockingSortMemoryUsageBytes", .int64(Int64(Limits.stageBytesMax))),
            ("transactionLifetimeLimitSeconds", 60),
            ("cursorTimeoutMillis", .int64(node.frontend.cursors.idleMax.wholeMilliseconds)),
            ("localLogicalSessionTimeoutMinutes", .int32(ServerVersion.sessionTimeoutMinutes)),
            ("logicalSessionRefreshMillis", .int64(Limits.sessionReaperPause.wholeMilliseconds)),
            ("TransactionRecordMinimumLifetimeMinutes", .int32(node.options.sessionRecordLifetimeMinutes)),
            ("requireApiVersion", false),
            ("ttlMonitorEnabled", .bool(node.ttl.isEnabled)),
            ("ttlMonitorSleepSecs", .int32(Int32(clamping: node.ttl.periodic.pause.wholeMilliseconds / 1000))),
        ]
    }
}
