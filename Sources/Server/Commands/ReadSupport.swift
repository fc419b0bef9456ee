internal import BSON
internal import Core
internal import Data
internal import Query
internal import Replication
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
    func awaitNextReadSlice() async throws(ServerError) {
        await yieldLoop()
        try checkDeadline()
        try node.role.checkServesReads(of: arguments.database)
        guard !connection.isClosed else { throw ServerError(.clientDisconnect, "the client has gone") }
    }

    /// The read concern of this command: its own, or the set's default; one without a level gets the default's.
    func readConcern() throws(ServerError) -> ReadConcern {
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
        pauseObserving()
        defer { resumeObserving() }
        try await node.role.awaitReadConcern(concern, deadline: deadline, on: connection)
        guard let point = try node.role.readPoint(concern) else {
            throw ServerError(
                .readConcernMajorityNotAvailableYet,
                "Read concern \(concern.level.rawValue) reads are currently not possible.")
        }
        return point
    }

    /// Lets everything else that waits for the loop run once.
    func yieldLoop() async {
        pauseObserving()
        await node.yieldLoop()
        resumeObserving()
    }

    /// Waits like a write command's reply does, and writes `writeConcernError` when it fails.
    func awaitWriteConcern(_ optime: OpTime, _ concern: WriteConcern) async throws {
        guard case .awaitingWriteConcern(let target, _) = finishWrite(optime, concern) else { return }
        pauseObserving()
        defer { resumeObserving() }
        let failure = await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            node.role.awaitWriteConcern(target, concern, deadline: deadline, on: connection) {
                continuation.resume(returning: $0)
            }
        }
        if let failure {
            reportedWriteConcernError = true
            node.appendWriteConcernError(
                failure, isRetryableWrite: arguments.transactionNumber != nil, to: writer)
        }
    }
}

extension Node {
    /// Lets everything else that waits for the loop run once.
    func yieldLoop() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            runtime.enqueue { continuation.resume() }
        }
    }
}
