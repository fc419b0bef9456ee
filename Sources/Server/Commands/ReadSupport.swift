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
        CrashReport.end()
        pauseObserving()
        await node.yieldLoop()
        resumeObserving()
        CrashReport.begin(body, database: arguments.database)
    }

    /// Waits like a write command's reply does, and writes `writeConcernError` when it fails.
    func awaitWriteConcern(_ optime: OpTime, _ concern: WriteConcern) async throws {
        guard case .awaitingWriteConcern(let target, _) = finishWrite(optime, concern) else { return }
        if let failure = await wait(for: concern, at: target) {
            reportedWriteConcernError = true
            node.appendWriteConcernError(
                failure, isRetryableWrite: arguments.transactionNumber != nil, to: writer)
        }
    }

    private func wait(for concern: WriteConcern, at target: OpTime) async -> ServerError? {
        pauseObserving()
        defer { resumeObserving() }
        return await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            node.role.awaitWriteConcern(target, concern, deadline: deadline, on: connection) {
                continuation.resume(returning: $0)
            }
        }
    }

    /// Whether a command that fails so still waits for the write concern that it came with: what made it fail may be
    /// undone until a majority has it, and a client that asked for certainty learns of both, as MongoDB's do.
    func awaitsWriteConcern(failing error: any Error) -> Bool {
        guard let error = error as? ServerError, !error.code.concernsCommand, error.code != .interrupted,
            !command.traits.isDisjoint(with: [.write, .writeConcern]), !request.isUnacknowledged,
            arguments.writeConcern?.isEmpty == false, let concern = try? writeConcern(), (try? checkWritable()) != nil,
            case .awaitingWriteConcern = finishWrite(nil, concern)
        else { return false }
        return true
    }

    /// Waits as `awaitsWriteConcern` says. Returns why the write concern was not met.
    func unmetWriteConcern(failing error: any Error) async -> ServerError? {
        guard awaitsWriteConcern(failing: error), let concern = try? writeConcern() else { return nil }
        return await wait(for: concern, at: node.lastOpTime)
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
