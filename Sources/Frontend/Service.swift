package import BSON
package import Core

/// What a frontend needs of what stands behind it: a data node, a router. Not a plug point.
///
/// The frontend takes connections, parses, dispatches and answers; it knows nothing of data or replication. Its service
/// brings commands of its own (`Frontend.commands`), whose contexts know the service.
package protocol Service: AnyObject {
    /// Asked before each command runs, when everything that holds for all services has been checked.
    /// - Throws: why the command cannot run here now.
    func admit(_ request: RequestContext) throws(ServerError)
    /// What a command that this service does not have would do, when it is one that MongoDB has; nil for a name that
    /// means nothing.
    func meaning(ofMissing name: KeyView) -> StaticString?

    /// Takes part in the gossip of the cluster time.
    /// - Throws: when `time` is further ahead of the wall clock than is believable.
    func advanceClusterTime(to time: Timestamp) throws(ServerError)
    /// Writes what every reply carries of the cluster's time. `operationTime` nil stands for the newest.
    func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?)
    /// Writes the fields of `hello` that depend on the service, from `isWritablePrimary` on.
    func appendHello(to writer: DocumentWriter, legacy: Bool)
    /// Who introduces itself, in `internalMember` or `internalCluster` of this `hello`, as a member of this service's
    /// set or a node of its sharded cluster.
    /// - Throws: why it is not believed; the connection keeps the reason.
    func identify(_ hello: DocumentView) throws(ServerError) -> PeerIdentity

    /// The wait that a connection was held for (`ClientConnection.hold`) is not worth waiting for any more.
    func abandonWait(_ id: UInt64, because reason: ServerError)
    /// A command met a broken promise, of our own or of a part: the service cannot go on.
    func fail(_ error: any Error)
}

/// Who is at the other end of a connection that has done the internal handshake: a member of the set, a node of the
/// sharded cluster, or both.
package struct PeerIdentity {
    /// Its place in the set's configuration; -1 for none.
    package let memberID: Int32
    package let incarnation: Incarnation
    /// It copies data as members do, and is none.
    package let isBackup: Bool
    /// Whether it has introduced itself as a member of the set, or as a backup.
    package let isMember: Bool
    /// What it is in the sharded cluster (`router`, `shard`, `config`), when it has introduced itself as a node of it:
    /// it may send versions and the cluster's internal commands.
    package let clusterKind: String?

    package init(
        memberID: Int32, incarnation: Incarnation, isBackup: Bool = false, clusterKind: String? = nil
    ) {
        self.isBackup = isBackup
        self.memberID = memberID
        self.incarnation = incarnation
        isMember = true
        self.clusterKind = clusterKind
    }

    /// A node of the sharded cluster that is no member of this set.
    package init(clusterKind: String) {
        memberID = -1
        incarnation = Incarnation(startedAt: WallTime(milliseconds: 0), nonce: 0)
        isBackup = false
        isMember = false
        self.clusterKind = clusterKind
    }
}
