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
    /// Bytes of one value that an expression computes on the way: a `$reduce` can double its value at every step.
    public static let expressionValueBytesMax = 64 * 1024 * 1024
    /// Names in one dotted path.
    public static let pathComponentsMax = 200
    /// Elements that one update may pad an array with to reach an index.
    public static let arrayPaddingMax = 1_500_000
    /// Indexes of one collection.
    public static let indexesPerCollectionMax = 64
    /// Fields of one compound index.
    public static let indexFieldsMax = 32
    /// Records that one batch of an index build adds.
    public static let indexBuildRowsPerBatch = 64
    /// Longest database name and longest `database.collection`, in bytes.
    public static let databaseNameBytesMax = 63
    public static let namespaceBytesMax = 255
    /// Session records kept in memory; the others are read from their table.
    public static let sessionRecordsCachedMax = 10_000
    /// Statements that one session record remembers one by one; consecutive ones with the same outcome count once.
    public static let sessionStatementRangesMax = 10_000
    /// Members of a replica set, and how many of them vote.
    public static let membersMax = 50
    public static let votersMax = 7
    /// Largest offset by which a peer's cluster time may run ahead of the wall clock.
    public static let clusterTimeDriftMax: Duration = .seconds(365 * 24 * 3600)
    /// Requests of one connection that wait for an answer.
    public static let connectionPendingRequestsMax = 1000
    /// Longest pattern of a regular expression.
    public static let regexPatternBytesMax = 32_764
    /// Work, backtracking depth and memory of one regular expression on one string.
    public static let regexMatchStepsMax = 1_000_000
    public static let regexMatchDepthMax = 100_000
    public static let regexMatchHeapKilobytesMax = 16 * 1024
    /// Deepest nesting of a filter.
    public static let filterDepthMax = 100
    /// Names of one dotted path in a filter or a sort.
    public static let fieldPathPartsMax = 200
    /// Names of one indexed path.
    public static let indexPathPartsMax = 64
    /// Key ranges that one index scan may be cut into; a plan with more uses fewer fields of the index.
    public static let indexScanRangesMax = 1000
    /// Previous values that are kept in memory for reads at earlier times. Above half of it only those of the last second
    /// and of open snapshots stay; above it the oldest snapshot is closed, then writers have to wait.
    public static let historyBytesMax = 256 * 1024 * 1024
    /// Under pressure, history older than this goes first.
    public static let historyUnderPressureMax: Duration = .seconds(1)
    /// Bytes of previous values in one undo record; one larger value has a record of its own.
    public static let undoRecordBytesMax = 64 * 1024
    /// Undo records that one step prunes at most, and how many must be due before it does.
    public static let undoPrunedPerStepMax = 32
    public static let undoPruneBatchMin = 8
    /// Versions that one call prunes beside twice those that were added since the last.
    public static let historyPrunedPerCallMin = 256
    /// Uncompressed bytes of one sealed oplog block; a larger entry has a block of its own.
    public static let oplogBlockBytes = 64 * 1024
    /// A larger run of entries is sealed without compression: it would hold the loop.
    public static let oplogCompressedBytesMax = 1024 * 1024
    /// Sealed oplog blocks that are kept opened for readers.
    public static let oplogOpenBlocksMax = 4
    /// Oplog blocks that one append drops at the front.
    public static let oplogBlocksDroppedMax = 4
}
