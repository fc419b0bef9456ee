internal import BSON
internal import Core

/// `configureFailPoint`: switches a fail point on or off. Only with `enableTestCommands`.
enum ConfigureFailPoint {
    static var command: Command<RequestContext> {
        Command(
            "configureFailPoint", [.adminOnly, .testOnly], .failPoint,
            help: "makes the node fail where a test wants it to", run: run)
    }

    private static func run(_ context: RequestContext) throws -> CommandOutcome {
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
        let fired = context.frontend.failPoints.configure(name, mode, settings)
        context.writer.append("count", int64: fired)
        return .done
    }
}
