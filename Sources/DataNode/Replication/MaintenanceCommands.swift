internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// The commands by which people look after one member.
enum MaintenanceCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "replSetMaintenance", [.adminOnly], .empty,
                help: "takes a secondary out of reads and elections, or back"
            ) {
                context in
                let isOn = context.argument.isTruthy
                return try MemberCommands.answer(context) { role, id in
                    role.drive { member, now in member.onMaintenanceCommand(id, isOn: isOn, now: now) }
                }
            })
        table.add(
            Command(
                "replSetResizeOplog", [.adminOnly], .replSetResizeOplog,
                help: "changes the size of this member's oplog", run: resize))
    }

    private static func resize(_ context: CommandContext) throws -> CommandOutcome {
        guard let role = context.node.replication else { throw OplogServing.notAMember() }
        guard role.member.config != nil else {
            throw ServerError(.notYetInitialized, "no replset config has been received")
        }
        let oplog = context.node.data.oplog
        guard context.body["size"] != nil || context.body["minRetentionHours"] != nil else {
            throw ServerError(.badValue, "replSetResizeOplog needs 'size', in megabytes, or 'minRetentionHours'")
        }
        let bytes = try number(context, "size", in: megabytes, "megabytes").map { Int($0 * 1024 * 1024) }
        let retention = try number(context, "minRetentionHours", in: hours, "hours").map { Int64($0 * 3600) }
        return .later {
            try await context.awaitUnlock()
            try role.local.persist(
                oplogBytesMax: bytes ?? oplog.bytesMax, retention: retention ?? oplog.retention, context.node.data)
            try await context.node.data.durability.flush()
        }
    }

    private static let megabytes = Double(Limits.oplogMegabytesMin)...Double(Limits.oplogMegabytesMax)
    private static let hours = 0...Double(Limits.oplogRetentionHoursMax)

    private static func number(
        _ context: CommandContext, _ field: StaticString, in bounds: ClosedRange<Double>, _ unit: String
    ) throws(ServerError) -> Double? {
        guard let value = context.body[field] else { return nil }
        guard let number = value.asNumber else { throw wrongType("replSetResizeOplog.\(field)", value, "double") }
        guard bounds.contains(number) else {
            throw ServerError(
                .badValue,
                "BSON field '\(field)' must be from \(Int(bounds.lowerBound)) to \(Int(bounds.upperBound)) \(unit), "
                    + "not \(number)")
        }
        return number
    }
}
