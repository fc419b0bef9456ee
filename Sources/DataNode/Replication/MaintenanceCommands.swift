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
        guard context.body["minRetentionHours"]?.asNumber ?? 0 == 0 else {
            throw ServerError(
                .commandNotSupported,
                "replSetResizeOplog.minRetentionHours must be 0: the oplog is bounded by its size alone")
        }
        let bounds = Double(Limits.oplogMegabytesMin)...Double(Limits.oplogMegabytesMax)
        if let value = context.body["size"] {
            guard let megabytes = value.asNumber else { throw wrongType("replSetResizeOplog.size", value, "double") }
            guard bounds.contains(megabytes) else {
                throw ServerError(
                    .badValue,
                    "BSON field 'size' must be from \(Limits.oplogMegabytesMin) to \(Limits.oplogMegabytesMax) "
                        + "megabytes, not \(megabytes)")
            }
            let bytes = Int(megabytes * 1024 * 1024)
            return .later {
                try await context.awaitUnlock()
                try role.local.persist(oplogBytesMax: bytes, context.node.data)
                try await context.node.data.durability.flush()
            }
        }
        if context.body["minRetentionHours"] == nil {
            throw ServerError(.badValue, "replSetResizeOplog needs 'size', in megabytes")
        }
        return .done
    }
}
