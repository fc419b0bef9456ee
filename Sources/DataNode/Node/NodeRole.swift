internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

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

    /// What a write without a write concern of its own waits for.
    var defaultWriteConcern: WriteConcern { get }
    /// The level that a read without one gets; nil: `local`.
    var defaultReadConcern: ReadConcern.Level? { get }
    /// Calls `completion` once: with nil when `optime` is acknowledged as `concern` asks, else with what the reply's
    /// `writeConcernError` says. The wait ends when `connection` closes: nobody is left to be told.
    func awaitWriteConcern(
        _ optime: OpTime, _ concern: WriteConcern, deadline: Instant, on connection: ClientConnection?,
        completion: @escaping (ServerError?) -> Void)
    /// Waits until a read with that read concern may be answered, and says at which point in time it reads.
    /// The wait ends when `connection` closes.
    /// - Throws: `MaxTimeMSExpired`, `NotWritablePrimary`, … The caller re-checks readability afterwards.
    func awaitReadConcern(
        _ concern: ReadConcern, deadline: Instant, on connection: ClientConnection?
    ) async throws(ServerError)
    /// The point in time of a read that need not wait; nil when `awaitReadConcern` has to come first.
    func readPoint(_ concern: ReadConcern) throws(ServerError) -> ReadPoint?

    /// - Throws: `NotWritablePrimary` when a linearizable read cannot begin here.
    func checkLinearizable() throws(ServerError)
    /// A linearizable read that began in `term` has read; returns when it may be answered.
    /// - Throws: `NotWritablePrimary` and its kin when this member is not, or was not all the time, the primary.
    func confirmLinearizable(since term: Int64, deadline: Instant) async throws(ServerError)

    /// - Throws: `NotWritablePrimary` and its kin when writes to `database` are not taken here.
    func checkWritable(_ database: UnsafeRawBufferPointer) throws(ServerError)
    /// Whether a read may begin here: the member's state allows it, and so does the client where it is no primary.
    /// - Throws: `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary` when reads are not answered here.
    func checkReadable(_ arguments: GenericArguments, querySecondaryOk: Bool) throws(ServerError)
    /// Whether a read that has begun may go on here: that is a matter of the member's state alone. What the client
    /// prefers is said once, with the command that begins; a `getMore` says nothing of it.
    /// - Throws: `NotPrimaryOrSecondary`.
    func checkServesReads(of database: UnsafeRawBufferPointer?) throws(ServerError)
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
    var defaultWriteConcern: WriteConcern { .acknowledged }
    var defaultReadConcern: ReadConcern.Level? { nil }
    func awaitWriteConcern(
        _ optime: OpTime, _ concern: WriteConcern, deadline: Instant, on connection: ClientConnection?,
        completion: @escaping (ServerError?) -> Void
    ) { completion(nil) }
    func awaitReadConcern(
        _ concern: ReadConcern, deadline: Instant, on connection: ClientConnection?
    ) async throws(ServerError) {}
    func readPoint(_ concern: ReadConcern) throws(ServerError) -> ReadPoint? {
        switch concern.level {
        case .local, .available, .majority: return .latest
        case .linearizable, .snapshot:
            throw ServerError(
                .notAReplicaSet, "node needs to be a replica set member to use read concern \(concern.level.rawValue)")
        }
    }
    func checkLinearizable() throws(ServerError) {}
    func confirmLinearizable(since term: Int64, deadline: Instant) async throws(ServerError) {}
    func checkWritable(_ database: UnsafeRawBufferPointer) throws(ServerError) {}
    func checkReadable(_ arguments: GenericArguments, querySecondaryOk: Bool) throws(ServerError) {}
    func checkServesReads(of database: UnsafeRawBufferPointer?) throws(ServerError) {}
}
