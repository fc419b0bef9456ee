internal import BSON
internal import Core

/// `getParameter` and `setParameter`: what can be asked for and, where it says so, set.
enum ServerParameters {
    static func add(to table: inout CommandTable) {
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
                for element in context.body.dropFirst() where !GenericArguments.isGeneric(element.key) {
                    let name = element.key.string
                    guard let current = known.first(where: { $0.name == name })?.value else {
                        throw ServerError(
                            .invalidOptions,
                            "attempted to set unrecognized parameter [\(name)], use help:true to see options")
                    }
                    guard settable.contains(name) else {
                        throw ServerError(.illegalOperation, "not allowed to change [\(name)] at runtime")
                    }
                    if try !setTTL(name, element.value, context.node) {
                        context.node.parameters[name] = Value(element.value)
                    }
                    context.writer.append("was" as String, current)
                    return .done
                }
                throw ServerError(.invalidOptions, "no option found to set, use help:true to see options")
            })
    }

    /// Those that say how the TTL monitor works are acted upon; the others are accepted because drivers' tests set
    /// them, and change nothing that Quorate has.
    private static let settable: Set<String> = [
        "ttlMonitorEnabled", "ttlMonitorSleepSecs",
        "logLevel", "notablescan", "internalQueryMaxBlockingSortMemoryUsageBytes", "transactionLifetimeLimitSeconds",
        "cursorTimeoutMillis",
    ]

    /// False for a parameter that is not the TTL monitor's.
    private static func setTTL(_ name: String, _ value: ValueView, _ node: Node) throws(ServerError) -> Bool {
        switch name {
        case "ttlMonitorEnabled":
            guard value.type == .bool || value.type.isNumber else { throw wrongType(name, value, "bool") }
            node.ttl.isEnabled = value.isTruthy
        case "ttlMonitorSleepSecs":
            guard value.type.isNumber else { throw wrongType(name, value, "int") }
            guard let seconds = value.asInteger ?? value.asNumber.flatMap({ Int64(exactly: $0) }), seconds >= 1,
                seconds <= Int64(Int32.max)
            else {
                throw ServerError(
                    .badValue,
                    "Invalid value for parameter \(name): \(Value(value)) is not a whole number greater than 0")
            }
            node.ttl.pause = .seconds(seconds)
        default: return false
        }
        return true
    }

    private static func parameters(of node: Node) -> [(name: String, value: Value)] {
        var all: [(name: String, value: Value)] = [
            ("enableTestCommands", .bool(node.options.enableTestCommands)),
            ("authenticationMechanisms", .array([])),
            ("featureCompatibilityVersion", ["version": "8.0"]),
            ("quiet", false),
            ("logLevel", 0),
            ("notablescan", false),
            ("internalQueryMaxBlockingSortMemoryUsageBytes", .int64(Int64(Limits.stageBytesMax))),
            ("transactionLifetimeLimitSeconds", 60),
            ("cursorTimeoutMillis", .int64(Limits.cursorIdleMax.wholeMilliseconds)),
            ("localLogicalSessionTimeoutMinutes", .int32(ServerVersion.sessionTimeoutMinutes)),
            ("requireApiVersion", false),
            ("ttlMonitorEnabled", .bool(node.ttl.isEnabled)),
            ("ttlMonitorSleepSecs", .int32(Int32(clamping: node.ttl.pause.wholeMilliseconds / 1000))),
        ]
        for index in all.indices { if let set = node.parameters[all[index].name] { all[index].value = set } }
        return all
    }
}
