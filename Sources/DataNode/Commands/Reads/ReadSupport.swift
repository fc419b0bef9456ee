internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Replication
internal import Sharding
internal import Wire

/// What all commands that read have in common.
extension CommandContext {
    /// Asked when a read begins.
    /// - Throws: `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary`.
    func checkReadable() throws(ServerError) {
        try node.role.checkReadable(arguments, querySecondaryOk: request.querySecondaryOk)
    }

    /// Lets everything else run between two slices of a read, and asks whether it may go on.
    /// - Throws: `MaxTimeMSExpired`, `NotPrimaryOrSecondary`, `ClientDisconnect`.
    func awaitNextReadSlice() async throws {
        try await endSlice()
        try checkDeadline()
        try node.role.checkServesReads(of: arguments.database)
        guard !connection.isClosed else { throw ServerError(.clientDisconnect, "the client has gone") }
    }

    /// The read concern of this command: its own, or the set's default; one without a level gets the default's. What
    /// came through a router is not read at a time from before the placement that it was routed by.
    func readConcern() throws(ServerError) -> ReadConcern {
        var concern = try ownReadConcern()
        guard let owned = routed?.owned, concern.level == .majority || concern.level == .snapshot,
            concern.atClusterTime == nil, let since = owned.table.versions.keys.max()
        else { return concern }
        concern.afterClusterTime = max(concern.afterClusterTime ?? since, since)
        return concern
    }

    private func ownReadConcern() throws(ServerError) -> ReadConcern {
        var concern = ReadConcern()
        if let view = arguments.readConcern, !view.isEmpty {
            concern = try ReadConcern(view)
            if view["level"] != nil { return concern }
        }
        if let level = node.role.defaultReadConcern { concern.level = level }
        return concern
    }

    /// The point in time that the command reads at, once that may be read.
    func awaitReadPoint(_ concern: ReadConcern) async throws(ServerError) -> ReadPoint {
        if let point = try node.role.readPoint(concern) { return point }
        pause()
        defer { resume() }
        try await node.role.awaitReadConcern(concern, deadline: deadline, on: connection)
        guard let point = try node.role.readPoint(concern) else {
            throw ServerError(
                .readConcernMajorityNotAvailableYet,
                "Read concern \(concern.level.rawValue) reads are currently not possible.")
        }
        return point
    }

    /// Waits like a write command's reply does, and writes `writeConcernError` when it fails.
    func awaitWriteConcern(_ optime: OpTime, _ concern: WriteConcern) async throws {
        if case .held = finishWrite(optime, concern) { try await awaitHeld() }
    }
}
