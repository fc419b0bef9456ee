/// Every bound that a client, a peer or a disk can run into. Named once, here; reaching each is a tested path.
public enum Limits {
    /// Longest wire message, as announced in `hello`.
    public static let messageBytesMax = 48_000_000
    /// Largest user document, as announced in `hello`.
    public static let documentBytesMax = 16 * 1024 * 1024
    /// Documents that the server itself makes around a user's (replies, oplog entries) may be this much larger.
    public static let documentOverheadBytesMax = 16 * 1024
    /// Most statements of one write command, as announced in `hello`.
    public static let writeBatchSizeMax = 100_000
    /// Deepest nesting of a document.
    public static let documentDepthMax = 100
    /// Replies that a peer has not taken yet; above it the connection closes.
    public static let connectionOutputBytesMax = 128 * 1024 * 1024
    /// Most connections of clients and peers.
    public static let incomingConnectionsMax = 20_000
    /// Longest key of a storage table.
    public static let storageKeyBytesMax = 64 * 1024
    /// Longest value of a storage table.
    public static let storageValueBytesMax = 17 * 1024 * 1024
    /// Bytes of documents in one cursor batch.
    public static let cursorBatchBytesMax = 16 * 1024 * 1024
    /// Documents in a first batch when the client names no size.
    public static let cursorFirstBatchDefault = 101
    /// Open cursors of one node.
    public static let cursorsMax = 100_000
    /// An idle cursor is closed after this time.
    public static let cursorIdleMax: Duration = .seconds(600)
    /// Sessions of one node.
    public static let sessionsMax = 1_000_000
    /// A session that was not used for this long is forgotten.
    public static let sessionIdleMax: Duration = .seconds(1800)
    /// How long a scan or a batch of writes may hold the loop.
    public static let loopSliceMax: Duration = .milliseconds(2)
    /// Stages of one aggregation pipeline.
    public static let pipelineStagesMax = 1000
    /// Memory that one blocking stage (sort, group) may take.
    public static let stageBytesMax = 100 * 1024 * 1024
    /// Indexes of one collection.
    public static let indexesPerCollectionMax = 64
    /// Fields of one compound index.
    public static let indexFieldsMax = 32
    /// Members of a replica set, and how many of them vote.
    public static let membersMax = 50
    public static let votersMax = 7
    /// Largest offset by which a peer's cluster time may run ahead of the wall clock.
    public static let clusterTimeDriftMax: Duration = .seconds(365 * 24 * 3600)
    /// Requests of one connection that wait for an answer.
    public static let connectionPendingRequestsMax = 1000
    /// A term beyond this is a lie and is ignored: believed, it would leave no room for further elections.
    public static let electionTermMax: Int64 = 1 << 48
    /// The shortest wait that an election policy can ask for.
    public static let electionPolicyWaitMin: Duration = .milliseconds(1)
    /// Further heartbeats within one round after the first failed.
    public static let heartbeatRetriesMax = 2
    /// Members that a member without a configuration asks for it at one time.
    public static let bootstrapHeartbeatsMax = 8
    /// Changes of sync source within an hour only because another is closer.
    public static let syncSourcePingChangesMax = 3
    /// A sync source may lag this much behind the primary, and no other may be ahead of it by more.
    public static let syncSourceLagMax: Duration = .seconds(30)
    /// A sync source is left for one that is closer by more than this.
    public static let syncSourcePingGainMin: Duration = .milliseconds(5)
    /// How long a member without a sync source waits before it looks again, when nothing changes in between.
    public static let syncSourceRetry: Duration = .seconds(1)
    /// How long `replSetReconfig` waits for the current configuration to be committed, and then for its own.
    public static let reconfigWaitMax: Duration = .seconds(10)
    /// How long `replSetInitiate` waits for the members' answers.
    public static let initiateWaitMax: Duration = .seconds(10)
}
