internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// Waiting on behalf of clients: until a write is acknowledged, until a read may be answered.
extension ReplicaSetRole {
    func awaitWriteConcern(
        _ optime: OpTime, _ concern: WriteConcern, deadline: Instant, on connection: ClientConnection?,
        completion: @escaping (ServerError?) -> Void
    ) {
        let limit = [concern.deadline(from: runtime.now), deadline == .distantFuture ? nil : deadline]
            .compactMap { $0 }.min()
        let timedOutByConcern = concern.deadline(from: runtime.now).map { $0 <= deadline } ?? false
        let began = runtime.now
        let id = registerWaiter(for: connection) { [node] result in
            node.counters.writeConcerns.waits += 1
            node.counters.writeConcerns.waited += node.runtime.now - began
            if case .timedOut = result, timedOutByConcern { node.counters.writeConcerns.timeouts += 1 }
            switch result {
            case .satisfied: completion(nil)
            case .timedOut where timedOutByConcern:
                let error = ServerError(.writeConcernTimeout, "waiting for replication timed out")
                completion(ReplicaSetRole.explained(error, by: concern, timedOut: true))
            case .timedOut:
                let error = ServerError(.maxTimeMSExpired, "operation exceeded time limit")
                completion(ReplicaSetRole.explained(error, by: concern))
            case .failed(let error): completion(ReplicaSetRole.explained(error, by: concern))
            }
        }
        drive { member, now in
            member.onWaitForWriteConcern(id, target: optime, concern, deadline: limit, now: now)
        }
    }

    /// The client that waited is gone; without a time limit its write concern might never be met.
    func abandonWaiter(_ id: WaiterID, _ reason: ServerError = ClientConnection.clientIsGone) {
        drive { member, now in member.onWaiterLeft(id, now: now) }
        completeWaiter(id, .failed(reason))
    }

    /// A failed write concern's `errInfo` says which one it was, and whose.
    static func explained(
        _ error: ServerError, by concern: WriteConcern, timedOut: Bool = false
    ) -> ServerError {
        guard error.details == nil else { return error }
        let details = Document { writer in
            if timedOut { writer.append("wtimeout", bool: true) }
            writer.document("writeConcern") {
                concern.encode(to: $0)
                $0.append("provenance", string: concern.provenance.rawValue)
            }
        }
        return ServerError(error.code, error.message, labels: error.labels, details: details)
    }

    // MARK: Reads

    func readPoint(_ concern: ReadConcern) throws(ServerError) -> ReadPoint? {
        if let after = concern.afterClusterTime, after > node.lastOpTime.timestamp,
            !runtime.hasMutant(.clusterTimeIgnored)
        {
            return nil
        }
        switch concern.level {
        case .local, .available: return .latest
        case .majority:
            if runtime.hasMutant(.majorityReadsLatest) { return .latest }
            let point = member.majorityReadPoint.timestamp
            let wanted = runtime.hasMutant(.clusterTimeIgnored) ? nil : concern.afterClusterTime
            guard point > .zero, point >= wanted ?? .zero else { return nil }
            return .at(point)
        case .snapshot:
            let point = concern.atClusterTime ?? member.majorityReadPoint.timestamp
            guard point > .zero, point <= node.lastOpTime.timestamp, point <= member.majorityReadPoint.timestamp
            else { return nil }
            return runtime.hasMutant(.snapshotReadsLatest) ? .latest : .at(point)
        case .linearizable:
            guard concern.afterClusterTime == nil else {
                throw ServerError(.invalidOptions, "readConcern level linearizable does not go with afterClusterTime")
            }
            try checkLinearizable()
            return .latest
        }
    }

    func awaitReadConcern(
        _ concern: ReadConcern, deadline: Instant, on connection: ClientConnection?
    ) async throws(ServerError) {
        if let after = concern.afterClusterTime { try await awaitClusterTime(after, deadline, connection) }
        switch concern.level {
        case .majority:
            try await awaitCommitted(concern.afterClusterTime ?? Timestamp(rawValue: 1), deadline, connection)
        case .snapshot:
            let target = concern.atClusterTime ?? concern.afterClusterTime ?? Timestamp(rawValue: 1)
            if concern.atClusterTime != nil { try await awaitClusterTime(target, deadline, connection) }
            try await awaitCommitted(target, deadline, connection)
        case .local, .available, .linearizable: break
        }
    }

    /// Waits until this member has applied everything up to `target`. With a primary it does not take long: when nobody
    /// has written that far, the primary writes a no-op at once, and a secondary asks its primary to, again and again.
    private func awaitClusterTime(
        _ target: Timestamp, _ deadline: Instant, _ connection: ClientConnection?
    ) async throws(ServerError) {
        guard target <= node.data.clock.time else {
            throw ServerError(
                .invalidOptions,
                "the cluster time that a read concern asks for must not be greater than the current clusterTime")
        }
        while target > node.lastOpTime.timestamp {
            if acceptsWrites, !node.lock.isHeld {
                try appendNoOp(["msg": "after cluster time"])
            } else {
                askPrimaryForNoOp(upTo: target)
            }
            let round = min(deadline, runtime.now + Limits.noOpRequestInterval)
            let result = await wait(round, connection) { role, id, limit in
                role.drive { member, now in member.onWaitForApplied(id, target, deadline: limit, now: now) }
            }
            if case .timedOut = result, round < deadline { continue }
            return try ReplicaSetRole.check(result)
        }
    }

    private func awaitCommitted(
        _ target: Timestamp, _ deadline: Instant, _ connection: ClientConnection?
    ) async throws(ServerError) {
        let result = await wait(deadline, connection) { role, id, limit in
            role.drive { member, now in member.onWaitForCommitted(id, target, deadline: limit, now: now) }
        }
        try ReplicaSetRole.check(result)
    }

    private func wait(
        _ deadline: Instant, _ connection: ClientConnection?, _ start: (ReplicaSetRole, WaiterID, Instant?) -> Void
    ) async -> WaiterResult {
        if let connection, connection.isAbandoned {
            return .failed(connection.interruption ?? ClientConnection.clientIsGone)
        }
        return await withUnsafeContinuation { (continuation: UnsafeContinuation<Confined<WaiterResult>, Never>) in
            let id = registerWaiter(for: connection) { result in
                continuation.resume(returning: Confined(result))
            }
            start(self, id, deadline == .distantFuture ? nil : deadline)
        }.value
    }

    private static func check(_ result: WaiterResult) throws(ServerError) {
        switch result {
        case .satisfied: return
        case .timedOut: throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
        case .failed(let error): throw error
        }
    }

    func checkLinearizable() throws(ServerError) {
        guard acceptsWrites else {
            throw ServerError(.notWritablePrimary, "cannot satisfy linearizable read concern on non-primary node")
        }
    }

    /// A linearizable read has read; it may answer only if this member is still the primary: a no-op written now has to
    /// be acknowledged by a majority. And it must have been primary all the time: a later term of its own says nothing
    /// about what it read before.
    func confirmLinearizable(since term: Int64, deadline: Instant) async throws(ServerError) {
        guard acceptsWrites else { throw ServerError(.notWritablePrimary, "not primary") }
        guard member.term == term else {
            throw ServerError(.notWritablePrimary, "not primary since the linearizable read began")
        }
        if runtime.hasMutant(.linearizableNotConfirmed) { return }
        await node.awaitUnlock(until: deadline)
        guard acceptsWrites, member.term == term, !node.lock.isHeld else {
            throw runtime.now < deadline
                ? ServerError(.notWritablePrimary, "not primary any more")
                : ServerError(.maxTimeMSExpired, "operation exceeded time limit")
        }
        let optime = try appendNoOp(["msg": "linearizable read"])
        let failure = await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            awaitWriteConcern(optime, .majority, deadline: deadline, on: nil) { continuation.resume(returning: $0) }
        }
        if let failure {
            runtime.probe("linearizable read failed")
            throw ServerError(failure.code, failure.message, labels: failure.labels)
        }
    }

    // MARK: No-ops

    @discardableResult
    func appendNoOp(_ message: Document) throws(ServerError) -> OpTime {
        do {
            let context = WriteContext(term: member.term, wall: runtime.wallClock, isReplicated: true)
            return try message.withView { try node.data.appendNoOp($0, context) }
        } catch let error as ServerError {
            throw error
        } catch {
            node.fail(error)
            throw ServerError(.internalError, String(describing: error))
        }
    }

    /// One request at a time for all that wait.
    private func askPrimaryForNoOp(upTo target: Timestamp) {
        let isFresh = runtime.now - requestedTimeAt < Limits.noOpRequestInterval
        guard let host = member.primaryHost, !isFresh || target > requestedTime else { return }
        requestedTime = max(target, isFresh ? requestedTime : .zero)
        requestedTimeAt = runtime.now
        runtime.probe("secondary asked for a no-op")
        let request = OplogNoteRequest(
            note: ["msg": "a secondary waits for a cluster time"], target: target, clusterTime: node.data.clock.time)
        link(to: host).request(request) { _ in }
    }
}
