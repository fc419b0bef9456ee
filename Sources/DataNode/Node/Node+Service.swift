package import BSON
package import Core
internal import Data
package import Frontend
internal import Replication
internal import Sharding

/// A data node as what stands behind a frontend.
extension Node: Service {
    package func admit(_ request: RequestContext) throws(ServerError) {
        let command = request.command
        if let peer = request.connection.peer, peer.isBackup {
            guard !command.traits.contains(.memberOnly) || command.traits.contains(.followerOnly) else {
                throw ServerError(.unauthorized, "\(command.name) is for members of the replica set, not for backups")
            }
        } else if command.traits.contains(.followerOnly), let peer = request.connection.peer, let replication,
            let obstacle = replication.member.obstacle(toFollower: peer.memberID, peer.incarnation)
        {
            throw ServerError(.unauthorized, "\(command.name) is refused: \(obstacle)")
        }
        let arguments = request.arguments
        try checkTransactionNumber(command, arguments)
        if let concern = arguments.readConcern { try checkReadConcern(command, concern) }
    }

    /// A snapshot session sends its read concern with everything. What a write reads is what is there now.
    private func checkReadConcern(_ command: RegisteredCommand, _ concern: DocumentView) throws(ServerError) {
        if !command.traits.contains(.snapshotRead), let level = concern["level"]?.asStringBytes,
            KeyView(level) == "snapshot"
        {
            throw ServerError(
                .invalidOptions,
                "The command '\(command.name)' does not support readConcern snapshot; find, aggregate and distinct do")
        }
        guard command.traits.isDisjoint(with: [.readConcern, .snapshotRead]) else { return }
        let level = try ReadConcern(concern).level
        guard level == .local else {
            throw ServerError(
                .invalidOptions,
                "Command \(command.name) does not support { readConcern: { level: \"\(level.rawValue)\" } }: "
                    + "it takes 'local' only; leave the read concern out")
        }
    }

    private func checkTransactionNumber(
        _ command: RegisteredCommand, _ arguments: GenericArguments
    ) throws(ServerError) {
        if arguments.autocommit != nil || arguments.startTransaction {
            throw ServerError(.illegalOperation, "multi-document transactions are not supported by this server yet")
        }
        guard arguments.transactionNumber != nil else { return }
        guard arguments.sessionID != nil else {
            throw ServerError(.invalidOptions, "Transaction number requires a session ID to be specified")
        }
        guard role.isReplicated else {
            throw ServerError(
                .illegalOperation, "Transaction numbers are only allowed on a replica set member or mongos")
        }
        guard command.traits.contains(.retryable) else {
            throw ServerError(
                .notARetryableWriteCommand,
                "txnNumber may only be provided for retryable writes, not for \(command.name)")
        }
    }

    package func meaning(ofMissing name: KeyView) -> StaticString? { MissingCommands.meaning(of: name) }

    package func advanceClusterTime(to time: Timestamp) throws(ServerError) { try role.advanceClusterTime(to: time) }

    package func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?) {
        role.appendGossip(to: writer, operationTime: operationTime)
    }

    package func appendHello(to writer: DocumentWriter, legacy: Bool) {
        role.appendHello(to: writer, legacy: legacy)
        if configServer != nil { writer.append("configsvr", int32: 2) }
    }

    /// The internal handshake: a member of this set says who it is. It guards against mistakes, not against attacks:
    /// that takes authentication between members.
    package func identify(_ hello: DocumentView) throws(ServerError) -> PeerIdentity {
        let kind = try clusterKind(hello)
        guard let introduction = try Introduction.decode(hello) else {
            guard let kind else { throw ServerError(.failedToParse, "hello has no 'internalMember'") }
            return PeerIdentity(clusterKind: kind)
        }
        guard let own = options.replicaSetName else {
            throw ServerError(.noReplicationEnabled, "this node was not started with --replset")
        }
        guard own == introduction.setName else {
            throw ServerError(
                .inconsistentReplicaSetNames,
                "this node belongs to the replica set '\(own)', not '\(introduction.setName)'")
        }
        return PeerIdentity(
            memberID: introduction.memberID ?? -1, incarnation: introduction.incarnation,
            isBackup: introduction.isBackup, clusterKind: kind)
    }

    /// What the one who says this hello is in the sharded cluster; nil when it does not say.
    private func clusterKind(_ hello: DocumentView) throws(ServerError) -> String? {
        guard let said = try ClusterIntroduction.decode(hello) else { return nil }
        guard let cluster else {
            throw ServerError(
                ErrorCode(rawValue: 203), "this node belongs to no sharded cluster: it was not started with --role")
        }
        try said.check(own: cluster.clusterID)
        return said.kind.rawValue
    }

    package func abandonWait(_ id: UInt64, because reason: ServerError) {
        replication?.abandonWaiter(WaiterID(id), reason)
    }
}
