internal import BSON
internal import Core

/// What a node is to others: a standalone, or a member of a replica set. Not a plug point.
///
/// Commands ask the role what they may do; everything that depends on replication is behind it.
protocol NodeRole: AnyObject {
    /// Whether writes are logged and replicated.
    var isReplicated: Bool { get }
    /// The term in which writes are made.
    var term: Int64 { get }

    /// Takes part in the gossip of the cluster time.
    /// - Throws: when `time` is further ahead of the wall clock than is believable.
    func advanceClusterTime(to time: Timestamp) throws(ServerError)
    /// Writes `$clusterTime` and `operationTime`. `operationTime` nil stands for the last applied optime.
    func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?)
    /// Writes the fields of `hello` that depend on the role, from `isWritablePrimary` on.
    func appendHello(to writer: DocumentWriter, legacy: Bool)

    /// Writes the sections of `serverStatus` that depend on the role.
    func appendServerStatus(to writer: DocumentWriter)

    /// - Throws: `NotWritablePrimary` and its kin when writes to `database` are not taken here.
    func checkWritable(_ database: UnsafeRawBufferPointer) throws(ServerError)
    /// - Throws: `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary` when reads are not answered here.
    func checkReadable(_ arguments: GenericArguments, querySecondaryOk: Bool) throws(ServerError)
}

/// A node by itself: always readable and writable, no oplog, no gossip.
final class StandaloneRole: NodeRole {
    var isReplicated: Bool { false }
    var term: Int64 { -1 }
    func advanceClusterTime(to time: Timestamp) throws(ServerError) {}
    func appendGossip(to writer: DocumentWriter, operationTime: Timestamp?) {}
    func appendHello(to writer: DocumentWriter, legacy: Bool) {
        writer.append(legacy ? "ismaster" : "isWritablePrimary", bool: true)
    }
    func appendServerStatus(to writer: DocumentWriter) {}
    func checkWritable(_ database: UnsafeRawBufferPointer) throws(ServerError) {}
    func checkReadable(_ arguments: GenericArguments, querySecondaryOk: Bool) throws(ServerError) {}
}
