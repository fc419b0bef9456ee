public import BSON
public import Core
internal import Data
internal import Frontend
internal import Replication
internal import Sharding

/// What a member of a replica set is in a sharded cluster.
public enum ClusterRole: String, Sendable, CaseIterable {
    /// It keeps a part of the data.
    case shard
    /// It keeps where the data are.
    case config
}

/// Finds a shard key strategy by its name and options, both as they are stored with a collection.
public typealias ShardKeyStrategyLookup = (String, Document) throws -> any ShardKeyStrategy

/// What a node of a sharded cluster is beside a member of its set. Not a plug point.
protocol ClusterService: AnyObject {
    /// The cluster that it belongs to; nil while it does not know.
    var clusterID: ObjectID? { get }
    /// What it says of itself to other nodes.
    var introduction: ClusterIntroduction { get }
    /// This member takes writes from now on.
    func becamePrimary()
    /// It does not any more.
    func steppedDown()
    /// The node stops.
    func stop()
}

extension Node {
    /// Pauses on the loop.
    func sleep(_ duration: Duration) async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            runtime.schedule(after: duration) { continuation.resume() }
        }
    }

    /// Whether this node is a primary that takes writes.
    var takesWrites: Bool { replication?.acceptsWrites ?? false }

    /// - Throws: `NotWritablePrimary` when it is not.
    func checkTakesWrites() throws(ServerError) {
        guard takesWrites else { throw ServerError(.notWritablePrimary, "not primary") }
    }

    /// For a write that the server makes of itself.
    func ownWriteContext() throws(ServerError) -> WriteContext {
        try checkTakesWrites()
        return WriteContext(term: role.term, wall: runtime.wallClock, isReplicated: true)
    }

    /// Makes changes in one step and returns when a majority has them.
    /// - Throws: `NotWritablePrimary` and its kin with nothing done; what a write concern fails with when the outcome
    ///   is not known.
    @discardableResult
    func commit(_ changes: DocumentChanges) async throws -> OpTime {
        try await data.whenResident { try data.make(changes, try ownWriteContext()) }
        let optime = lastOpTime
        try await awaitMajority(optime)
        return optime
    }

    /// Returns when a majority has an entry.
    /// - Throws: `NotWritablePrimary` and its kin, `WriteConcernTimeout`.
    func awaitMajority(_ optime: OpTime) async throws(ServerError) {
        var concern = WriteConcern.majority
        concern.timeoutMillis = Limits.clusterMajorityWait.wholeMilliseconds
        let failure = await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            role.awaitWriteConcern(optime, concern, deadline: .distantFuture, on: nil) {
                continuation.resume(returning: $0)
            }
        }
        if let failure { throw failure }
    }

    /// A timestamp of the cluster's time that nothing else has.
    func newTimestamp() throws(ServerError) -> Timestamp { try data.clock.tick(runtime.wallClock) }
}
