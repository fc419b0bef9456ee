internal import BSON
internal import Core
internal import Frontend
internal import Query

/// `currentOp`, `$currentOp` and `killOp`.
enum OperationCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "currentOp", [.adminOnly], .currentOp, help: "the operations that are running or waiting",
                run: current),
            aliases: ["currentop"])
        table.add(
            Command("killOp", [.adminOnly], .killOp, help: "ends an operation", run: kill), aliases: ["killop"])
    }

    /// All fields but the command's own are a filter on what is shown.
    private static func current(_ context: CommandContext) throws -> CommandOutcome {
        var report = OperationReport()
        let filter = Document { writer in
            for element in context.body.dropFirst() where !GenericArguments.isGeneric(element.key) {
                switch element.key {
                case "$all": report.idleConnections = element.value.isTruthy
                // Without users all operations are one's own; long commands are cut off always.
                case "$ownOps", "$truncateOps": continue
                default: writer.append(element.key, element.value)
                }
            }
        }
        let query = context.queryContext()
        let matcher = try filter.withView { view throws(ServerError) in try Filter(view, context: query) }
        var shown: [Document] = []
        for document in report.documents(context) where try document.withView({ try matcher.matches($0) }) {
            shown.append(document)
        }
        context.writer.array("inprog") { for document in shown { $0.append(document) } }
        if context.node.lock.isHeld {
            context.writer.append("fsyncLock", bool: true)
            context.writer.append(
                "info", string: "use db.fsyncUnlock() to terminate the fsync write/snapshot lock")
        }
        return .done
    }

    /// The documents of a `{$currentOp: {…}}` stage.
    static func documents(
        _ specification: Value, _ context: CommandContext, _ collection: String
    ) throws(ServerError) -> [Document] {
        guard context.database == "admin", collection == "$cmd.aggregate" else {
            throw ServerError(
                .invalidNamespace, "$currentOp must be run against the 'admin' database with {aggregate: 1}")
        }
        guard let options = specification.asDocument else {
            throw ServerError(.failedToParse, "$currentOp options must be specified in an object")
        }
        var report = OperationReport()
        for (name, value) in options.fields {
            guard let flag = value.asBool else {
                throw ServerError(
                    .failedToParse,
                    "The '\(name)' parameter of the $currentOp stage must be a boolean value, but found: "
                        + value.type.operatorName)
            }
            switch name {
            case "idleConnections": report.idleConnections = flag
            case "idleCursors": report.idleCursors = flag
            case "idleSessions": report.idleSessions = flag
            // Without users all operations are one's own, and all are local; long commands are cut off always.
            case "allUsers", "localOps", "truncateOps": continue
            case "backtrace", "targetAllNodes":
                guard !flag else {
                    throw ServerError(.commandNotSupported, "$currentOp with '\(name)' is not supported")
                }
            default:
                throw ServerError(.failedToParse, "Unrecognized option '\(name)' in $currentOp stage.")
            }
        }
        return report.documents(context)
    }

    private static func kill(_ context: CommandContext) throws -> CommandOutcome {
        guard let value = context.body["op"] else {
            throw ServerError(.noSuchKey, "Did not provide \"op\" field")
        }
        guard value.type.isNumber else {
            throw ServerError(
                .typeMismatch, "Expected field \"op\" to have numeric type, but found \(value.type.operatorName)")
        }
        // MongoDB's ids wrap around, and shells have shown them unsigned.
        guard let number = value.asInteger,
            let id = Int32(exactly: number) ?? UInt32(exactly: number).map(Int32.init(bitPattern:))
        else {
            throw ServerError(
                ErrorCode(rawValue: 26823),
                "invalid op : \(value.asNumber ?? .nan). Op ID cannot be represented with 32 bits")
        }
        context.node.frontend.interruptOperations { $0.id == id }
        context.writer.append("info", string: "attempting to kill op")
        return .done
    }
}
