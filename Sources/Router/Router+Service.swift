package import BSON
package import Core
package import Frontend

/// A router as what stands behind a frontend.
extension Router: Service {
    package func admit(_ request: RequestContext) throws(ServerError) {
        let arguments = request.arguments
        if arguments.autocommit != nil || arguments.startTransaction {
            throw ServerError(.illegalOperation, "multi-document transactions are not supported by this server yet")
        }
        if arguments.transactionNumber != nil, !request.command.traits.contains(.retryable) {
            throw ServerError(
                .notARetryableWriteCommand,
                "txnNumber may only be provided for retryable writes, not for \(request.command.name)")
        }
        if let concern = arguments.readConcern { try checkReadConcern(request.command, concern) }
    }

    private func checkReadConcern(_ command: RegisteredCommand, _ concern: DocumentView) throws(ServerError) {
        let concern = try ReadConcern(concern)
        if concern.level == .snapshot {
            throw ServerError(
                .commandNotSupported,
                "readConcern snapshot is not supported through a router yet: leave it out, or read from a shard")
        }
        guard command.traits.isDisjoint(with: [.readConcern, .snapshotRead]), concern.level != .local else { return }
        throw ServerError(
            .invalidOptions,
            "Command \(command.name) does not support { readConcern: { level: \"\(concern.level.rawValue)\" } }: "
                + "it takes 'local' only; leave the read concern out")
    }

    package func meaning(ofMissing name: KeyView) -> StaticString? { nil }

    package func advanceClusterTime(to time: Timestamp) throws(ServerError) {
        try clock.advance(to: time, wall: runtime.wallClock)
    }

    package func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?) {
        guard clock.time != .zero else { return }
        writer.append(clusterTime: clock.time)
        writer.append("operationTime", timestamp: operationTime ?? clock.time)
    }

    package func appendHello(to writer: DocumentWriter, legacy: Bool) {
        writer.append(legacy ? "ismaster" : "isWritablePrimary", bool: true)
        writer.append("msg", string: "isdbgrid")
    }

    package func identify(_ hello: DocumentView) throws(ServerError) -> PeerIdentity {
        throw ServerError(.unauthorized, "a router is no member of a replica set, and has no members")
    }

    package func abandonWait(_ id: UInt64, because reason: ServerError) {}
}
