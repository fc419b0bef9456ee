internal import BSON
internal import Core

/// `getParameter` and `setParameter`: what can be asked for and, where it says so, set.
enum ServerParameters {
    static func add(to table: inout CommandTable) {
        table.add(
            Command("getParameter", [.adminOnly], help: "server parameters, one, several or '*'") { context in
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
            Command("setParameter", [.adminOnly], help: "sets a server parameter") { context in
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
                    context.writer.append("was" as String, current)
                    context.node.parameters[name] = Value(element.value)
                    return .done
                }
                throw ServerError(.invalidOptions, "no option found to set, use help:true to see options")
            })
    }

    /// Accepted because drivers' tests set them; they change nothing that Quorate has.
    private static let settable: Set<String> = [
        "logLevel", "notablescan", "internalQueryMaxBlockingSortMemoryUsageBytes", "transactionLifetimeLimitSeconds",
        "cursorTimeoutMillis",
    ]

    private static func parameters(of node: Node) -> [(name: String, value: Value)] {
        var all: [(name: String, value: Value)] = [
            ("enableTestCommands", .bool(node.options.enableTestCommands)),
            ("authenticationMechanisms", .array([])),
            ("featureCompatibilityVersion", ["version": .string(FeatureCompatibility.version(node))]),
            ("quiet", false),
            ("logLevel", 0),
            ("notablescan", false),
            ("internalQueryMaxBlockingSortMemoryUsageBytes", .int64(Int64(Limits.stageBytesMax))),
            ("transactionLifetimeLimitSeconds", 60),
            ("cursorTimeoutMillis", .int64(Limits.cursorIdleMax.wholeMilliseconds)),
            ("localLogicalSessionTimeoutMinutes", .int32(ServerVersion.sessionTimeoutMinutes)),
            ("requireApiVersion", false),
        ]
        for index in all.indices { if let set = node.parameters[all[index].name] { all[index].value = set } }
        return all
    }
}
