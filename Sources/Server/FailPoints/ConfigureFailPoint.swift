internal import BSON
internal import Core

/// `configureFailPoint`: switches a fail point on or off. Only with `enableTestCommands`.
enum ConfigureFailPoint {
    static func add(to table: inout CommandTable) {
        table.add(
            Command(
                "configureFailPoint", [.adminOnly, .testOnly], .failPoint,
                help: "makes the node fail where a test wants it to",
                run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        guard let text = context.argument.asString else {
            throw wrongType("configureFailPoint", context.argument, "string")
        }
        guard let name = FailPoints.Name(rawValue: text) else {
            let known = FailPoints.Name.allCases.map(\.rawValue).joined(separator: ", ")
            throw ServerError(.failPointSetFailed, "fail point '\(text)' not found; there are \(known)")
        }
        let mode = try FailPointMode(context.body["mode"])
        let data = context.body["data"]
        if let data, data.asDocument == nil { throw wrongType("configureFailPoint.data", data, "object") }
        let settings = try FailPointSettings(data?.asDocument)
        if name == .failCommand, !mode.isOff, settings.commands.isEmpty {
            throw ServerError(.badValue, "failCommand needs 'data.failCommands', the names of the commands to fail")
        }
        let fired = context.node.failPoints.configure(name, mode, settings)
        // A follower that was held up goes on.
        (context.node.role as? ReplicaSetRole)?.syncSource.goOn()
        context.writer.append("count", int64: fired)
        return .done
    }
}
