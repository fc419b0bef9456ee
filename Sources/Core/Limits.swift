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
    /// Longest key of a storage table: room for a value as large as a document, and for what keys add to it.
    public static let storageKeyBytesMax = documentBytesMax + 64 * 1024
    /// Longest index key whose values a duplicate key error shows.
    public static let shownKeyBytesMax = 64 * 1024
    /// Longest value of a storage table.
    public static let storageValueBytesMax = 17 * 1024 * 1024
    /// Bytes of documents in one cursor batch.
    public static let cursorBatchBytesMax = 16 * 1024 * 1024
    /// Documents in a first batch when the client names no size.
    public static let cursorFirstBatchDefault = 101
    /// Bytes that a client may leave untaken and still be sent batches that it has not asked for.
    public static let streamedBytesMax = 8 * 1024 * 1024
    /// Open cursors of one node.
    public static let cursorsMax = 100_000
    /// An idle cursor is closed after this time.
    public static let cursorIdleMax: Duration = .seconds(600)
    /// Log lines that a node keeps for `getLog`, and the bytes of one.
    public static let recentLogLinesMax = 1024
    public static let recentLogLineBytesMax = 4096
    /// Sessions of one node.
    public static let sessionsMax = 1_000_000
    /// A session that was not used for this long is forgotten.
    public static let sessionIdleMax: Duration = .seconds(1800)
    /// How long a scan or a batch of writes may hold the loop.
    public static let loopSliceMax: Duration = .milliseconds(2)
    /// Stages of one aggregation pipeline.
    public static let pipelineStagesMax = 1000
    /// Pipelines inside stages of pipelines (`$lookup`, `$unionWith`).
    public static let subPipelineDepthMax = 20
    /// Views that one reads by way of one another.
    public static let viewDepthMax = 20
    /// Documents that one `$densify` makes.
    public static let densifiedDocumentsMax = 500_000
    /// Memory that one blocking stage (sort, group) may take.
    public static let stageBytesMax = 100 * 1024 * 1024
    /// Bytes below which a string in an expression has to stay, as in MongoDB.
    public static let expressionStringBytesMax = 16 * 1024 * 1024
    /// Bytes of one value that an expression computes on the way: a `$reduce` can double its value at every step.
    public static let expressionValueBytesMax = 64 * 1024 * 1024
    /// Steps of an evaluation between two looks at the time: a node, an element or 128 bytes is one.
    public static let evaluationStepsPerLook = 256
    /// Steps of one evaluation that nothing else watches over (an expression of a validator, a constant).
    public static let evaluationStepsMax = 20_000_000
    /// Bytes of a document, times the conditions of a filter, that are matched without a look at the time.
    public static let matchedAtOnceBytesMax = 1024 * 1024
    /// Looks at the time that saying why a document failed validation may take.
    public static let explanationLooksMax = 1000
    /// Names in one dotted path.
    public static let pathComponentsMax = 200
    /// Elements that one update may pad an array with to reach an index.
    public static let arrayPaddingMax = 1_500_000
    /// Indexes of one collection.
    public static let indexesPerCollectionMax = 64
    /// Fields of one compound index.
    public static let indexFieldsMax = 32
    /// Pause between two passes of the TTL monitor, until `ttlMonitorSleepSecs` says otherwise; and the entries of an
    /// index that it looks at together.
    public static let ttlMonitorPauseDefault: Duration = .seconds(60)
    public static let ttlRowsPerBatch = 64
    /// Documents that one insert into a capped collection pushes out at most; a collection that was just made capped
    /// holds too many for a while.
    public static let cappedTrimPerInsertMax = 1000
    /// What a `collMod` that cannot make an index unique names: keys in bytes, and documents of one key.
    public static let uniqueViolationsBytesMax = 64 * 1024
    public static let uniqueViolationIDsMax = 100
    /// Records that one batch of an index build adds.
    public static let indexBuildRowsPerBatch = 64
    /// Longest database name and longest `database.collection`, in bytes.
    public static let databaseNameBytesMax = 63
    public static let namespaceBytesMax = 255
    /// Session records kept in memory; the others are read from their table.
    public static let sessionRecordsCachedMax = 10_000
    /// What sessions have written is forgotten when they have not written for this long
    /// (`TransactionRecordMinimumLifetimeMinutes`).
    public static let sessionRecordLifetime: Duration = .seconds(1800)
    /// The pause between two looks for such sessions (`logicalSessionRefreshMillis`).
    public static let sessionReaperPause: Duration = .seconds(300)
    /// The rows that one look reads, and that one entry deletes.
    public static let expiredSessionRowsPerBatch = 64
    /// Rows of a session's older commands that a statement of a newer one takes away.
    public static let staleSessionRowsPerStatement = 16
    /// Members of a replica set, and how many of them vote.
    public static let membersMax = 50
    public static let votersMax = 7
    /// Largest offset by which a peer's cluster time may run ahead of the wall clock.
    public static let clusterTimeDriftMax: Duration = .seconds(365 * 24 * 3600)
    /// Bytes of requests that wait behind a command of their connection before it is no longer read from.
    public static let connectionBacklogBytes = 1024 * 1024
    /// How long `shutdown` waits for a member that could take over when it does not say.
    public static let shutdownCatchUpDefault: Duration = .seconds(15)
    /// How much of a command `currentOp` and the log show.
    public static let shownCommandBytesMax = 1024
    /// How much of a command the profiler shows, and how many plans of one.
    public static let profiledCommandBytesMax = 50 * 1024
    public static let profiledPlansMax = 16
    /// Entries of the profiler that wait to be written, in bytes: further ones are lost.
    public static let profilerQueueBytesMax = 16 * 1024 * 1024
    /// Size of a `system.profile` that nobody has created with another.
    public static let profileBytesDefault = 1024 * 1024
    /// From when on an operation is slow, until `profile` says otherwise (`slowms`).
    public static let slowMillisDefault: Int64 = 100
    /// Largest `client` document of a `hello`.
    public static let clientMetadataBytesMax = 512
    /// Longest wait of an awaitable `hello` or a tailable cursor that a client may ask for.
    public static let awaitMax: Duration = .seconds(24 * 3600)
    /// Requests of one channel that wait for a reply; the next one fails at once.
    public static let channelRequestsMax = 1000
    /// Commands of one connection of a member that may be in flight; what it sends beyond waits.
    public static let peerOperationsMax = 256
    /// A compressed message that becomes larger than this is decompressed by a helper thread, not on the loop.
    public static let decompressionBytesOnLoop = 256 * 1024
    /// Messages that are compressed where that was agreed upon: shorter ones gain nothing, longer ones would hold the
    /// loop.
    public static let compressedMessageBytesMin = 256
    public static let compressedMessageBytesMax = 256 * 1024
    /// Queued closures and task steps that a loop runs before it looks for input again.
    public static let loopJobsPerTurnMax = 256
    /// And how long they may take together: operations in slices queue their next one at once.
    public static let loopTurnMax: Duration = .milliseconds(2)
    /// A callback that holds the loop longer than this is counted as too long.
    public static let loopHoldMax: Duration = .milliseconds(5)
    /// One that holds it longer than this is counted as far too long.
    public static let loopHoldFar: Duration = .milliseconds(20)
    /// What a transport reads at once when no message is under way.
    public static let readBytesMax = 64 * 1024
    /// First memory for a message that did not arrive whole; grows as its bytes do.
    public static let partialMessageBytesStart = 16 * 1024
    /// Memory that a connection keeps for its output while it has none.
    public static let connectionOutputBytesKept = 32 * 1024
    /// Connections that the system holds until a listener has accepted them.
    public static let listenBacklog = 1024
    /// How long a connection that closes gracefully may take to hand over its last bytes.
    public static let gracefulCloseMax: Duration = .seconds(5)
    /// An idle connection is probed after this time, so that a peer whose machine is gone is noticed.
    public static let keepAliveIdle: Duration = .seconds(120)
    /// Longest pattern of a regular expression.
    public static let regexPatternBytesMax = 32_764
    /// Work, backtracking depth and memory of one regular expression on one string.
    public static let regexMatchStepsMax = 1_000_000
    public static let regexMatchDepthMax = 100_000
    public static let regexMatchHeapKilobytesMax = 16 * 1024
    /// A longer text is searched in parts, and the work on it is watched: steps and the bytes that they go over. So
    /// much is done before the time is looked at, and so much at one place of the text before it is refused.
    public static let regexShortTextBytesMax = 16 * 1024
    public static let regexWorkPerSlice = 500_000
    public static let regexWorkMax = 20_000_000
    /// Deepest nesting of a filter.
    public static let filterDepthMax = 100
    /// What `errInfo` says of one document that failed validation; more than that is not said.
    public static let validationDetailsBytesMax = 1024 * 1024
    /// Messages and details of one reply's write errors; those behind them have a code only.
    public static let writeErrorBytesMax = 4 * 1024 * 1024
    /// Time zones that are kept once read; there are about 600 names. Longest name and file of one.
    public static let timeZonesMax = 1000
    public static let timeZoneNameBytesMax = 64
    public static let timeZoneFileBytesMax = 256 * 1024
    /// Names of one dotted path in a filter or a sort.
    public static let fieldPathPartsMax = 200
    /// Names of one indexed path.
    public static let indexPathPartsMax = 64
    /// Key ranges that one index scan may be cut into; a plan with more uses fewer fields of the index.
    public static let indexScanRangesMax = 1000
    /// Key ranges that the bounds of a filter are cut into to find shards; a product with more uses fewer components.
    public static let shardKeyRangesMax = 1000
    /// Buckets of one component of a shard key's position.
    public static let shardKeyBucketsMax = 1024
    /// Chunks that an empty collection is cut into.
    public static let initialChunksMax = 8192
    /// How long a step of a protocol between shards waits for an answer before it asks again.
    public static let shardingRetryDelay: Duration = .milliseconds(500)
    /// Chunks of a shard that the balancer looks at to find one to move.
    public static let balancerCandidatesMax = 64
    /// Previous values that are kept in memory for reads at earlier times. Above half of it only those of the last
    /// second and of open snapshots stay; above it the oldest snapshot is closed, then writers have to wait.
    public static let historyBytesMax = 256 * 1024 * 1024
    /// A snapshot session may read at a time that is this long ago, as long as history is not under pressure.
    public static let historyWindow: Duration = .seconds(10)
    /// Under pressure, history older than this goes first.
    public static let historyUnderPressureMax: Duration = .seconds(1)
    /// Bytes of previous values in one undo record; one larger value has a record of its own.
    public static let undoRecordBytesMax = 64 * 1024
    /// How long a write waits at most for a majority that lags far behind, before it goes on or is refused.
    public static let flowControlWaitMax: Duration = .milliseconds(100)
    /// How long writers wait for a commit point that does not move, before they take what room is left and are refused.
    public static let flowControlStandstillMax: Duration = .seconds(10)
    /// Undo records that one step prunes at most, and how many must be due before it does.
    public static let undoPrunedPerStepMax = 32
    public static let undoPruneBatchMin = 8
    /// Versions that one call prunes beside twice those that were added since the last.
    public static let historyPrunedPerCallMin = 256
    /// Connections of one client to one server, and how many of them may be opening at once.
    public static let clientPoolConnectionsMax = 100
    public static let clientPoolConnectingMax = 2
    /// Operations of one client that wait for a connection to one server.
    public static let clientPoolWaitersMax = 10_000
    /// Operations of one client that wait for a server to be selected.
    public static let clientSelectionWaitersMax = 10_000
    /// Sessions that one `endSessions` command names.
    public static let endSessionsBatchMax = 10_000
    /// A term beyond this is a lie and is ignored: believed, it would leave no room for further elections.
    public static let electionTermMax: Int64 = 1 << 48
    /// The shortest wait that an election policy can ask for.
    public static let electionPolicyWaitMin: Duration = .milliseconds(1)
    /// Further heartbeats within one round after the first failed.
    public static let heartbeatRetriesMax = 2
    /// Members that a member without a configuration asks for it at one time.
    public static let bootstrapHeartbeatsMax = 8
    /// How often `replSetMaintenance` may be switched on.
    public static let maintenanceDepthMax = 1000
    /// Bounds of `replSetResizeOplog`, in megabytes.
    public static let oplogMegabytesMin = 1
    public static let oplogMegabytesMax = 1 << 30
    /// The longest that entries of an oplog can be kept whatever its size, in hours.
    public static let oplogRetentionHoursMax = 1_000_000
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
    /// How long `replSetReconfig` waits for new hosts to say who they are; who has not answered then is nobody yet.
    public static let rollCallMax: Duration = .seconds(5)
    /// How long `replSetInitiate` waits for the members' answers.
    public static let initiateWaitMax: Duration = .seconds(10)
    /// How many keys that were prefetched a storage engine larger than memory keeps there, for the step that asked.
    public static let prefetchedKeysMin = 1024
    /// Bytes of data that a storage engine larger than memory keeps there when nobody says how many.
    public static let storageCacheBytesDefault = 256 * 1024 * 1024
    /// The least that a write buffer of such an engine takes before it becomes a file.
    public static let writeBufferBytesMin = 1024 * 1024
    /// The most that it takes.
    public static let writeBufferBytesMax = 64 * 1024 * 1024
    /// Bytes of batches that wait together to be written: more of them wait in a piece of their own.
    public static let writeGenerationBytes = 4 * 1024 * 1024
    /// Rows of a dropped table that one job of such an engine removes.
    public static let sweptRowsPerJob = 10_000
    /// Bytes of rows that one read of a cursor copies out of such an engine; at least one row.
    public static let scannedBytesPerRead = 1024 * 1024
    /// Bytes that are read ahead of a scan that comes to what is not in memory.
    public static let readAheadBytesMin = 32 * 1024
    /// The most of them, when it goes on and on.
    public static let readAheadBytesMax = 1024 * 1024
    /// Reads that found nothing in memory of which it is known what they looked for.
    public static let storageMissesNotedMax = 64
    /// How long what was prefetched for a scan is held at least, for the step that asked.
    public static let prefetchedScanMax: Duration = .seconds(1)
    /// Statements and bytes of a write command that runs to its end within one step of the loop.
    public static let shortWriteStatements = 16
    public static let shortWriteBytes = 64 * 1024
    /// Documents, and bytes of them, that are copied into a reply in one slice.
    public static let copiedDocumentsPerSlice = 2000
    public static let copiedBytesPerSlice = 1 << 20
    /// How long a `getMore` on a cursor that waits for data waits when the client does not say.
    public static let awaitDataDefault: Duration = .seconds(1)
    /// How long a member waits for another's answer, beyond what the request itself may take.
    public static let peerRequestTimeout: Duration = .seconds(5)
    /// Names under which a member knows itself.
    public static let ownHostsMax = 16
    /// How often a read that waits for a cluster time asks the primary to write up to it: a request may be lost, and
    /// there may be no primary yet.
    public static let noOpRequestInterval: Duration = .seconds(1)
    /// How long a sync source may hold back a request for entries.
    public static let oplogAwaitMax: Duration = .seconds(5)
    /// Bytes of entries in one batch between members, before compression.
    public static let oplogFrameBytes = 128 * 1024
    /// Bytes of entries that a delayed member holds until they are old enough; the others wait at its sync source.
    public static let delayedEntriesBytes = 16 * 1024 * 1024
    /// How long a sync source that failed is left alone, and one that sent nonsense.
    public static let syncSourceDenialShort: Duration = .seconds(1)
    public static let syncSourceDenialLong: Duration = .seconds(60)
    /// How long a primary that is told to stop waits for another member to take its place, and how long it then would
    /// not stand again itself.
    public static let handOverMax: Duration = .milliseconds(800)
    public static let handOverFreeze: Duration = .seconds(10)
    /// Oplog of a member whose engine forgets, counted as memory.
    public static let oplogBytesVolatileDefault = 64 * 1024 * 1024
    /// How long a call to another member may take, cloning of one batch included.
    public static let peerCallTimeout: Duration = .seconds(10)
    /// How long a change of a cluster's catalog, or of what a shard owns, waits for a majority of its set.
    public static let clusterMajorityWait: Duration = .seconds(30)
    /// How long a node of a cluster looks for the primary of another set that it needs, and asks it again.
    public static let clusterCallPatience: Duration = .seconds(15)
    /// How long one request between nodes of a cluster may take; one that makes the other side read or copy much; and
    /// one that only asks who is there.
    public static let clusterCallTimeout: Duration = .seconds(20)
    /// One that makes the other side read or copy much.
    public static let clusterLongCallTimeout: Duration = .seconds(600)
    /// One that only asks who is there.
    public static let clusterHelloTimeout: Duration = .seconds(2)
    /// The pause before a node of a cluster tries again what did not work.
    public static let clusterRetryPause: Duration = .milliseconds(100)
    /// How long `addShard` looks for the primary of the set that is to become a shard.
    public static let addShardPatience: Duration = .seconds(5)
    /// How long a request that knows of a move waits at a shard that does not know its outcome yet.
    public static let clusterLearnPatience: Duration = .seconds(10)
    /// How long a write waits for a range that is being moved.
    public static let closedRangePatience: Duration = .seconds(30)
    /// How long a range's writes may wait for the recipient to catch up, and how long all of a move may take: then the
    /// donor gives up.
    public static let rangeClosedMax: Duration = .seconds(10)
    /// How long all of a move may take.
    public static let migrationMax: Duration = .seconds(6 * 3600)
    /// How long a move waits for statements for many documents to end.
    public static let multiWritesMax: Duration = .seconds(10)
    /// Documents that a recipient stores in one step; entries that a donor looks at for one answer.
    public static let migrationStoreDocuments = 100
    /// Entries that a donor looks at for one answer.
    public static let migrationTailEntries = 1000
    /// How long copying and deleting wait when the majority is behind.
    public static let migrationPause: Duration = .milliseconds(20)
    /// Documents of a range that are deleted in one step, and the pause before ranges are looked at again.
    public static let rangeDeletionDocuments = 100
    /// The pause before ranges that are to be deleted are looked at again.
    public static let rangeDeletionPause: Duration = .seconds(1)
    /// `orphanCleanupDelaySecs` where it is not set.
    public static let orphanCleanupDelay: Duration = .seconds(900)
    /// How long one node waits for another to come further with a migration, before it asks again.
    public static let migrationPoll: Duration = .milliseconds(1000)
    /// The pause between two rounds of the balancer: when there was something to do, and when not.
    public static let balancerPauseBusy: Duration = .milliseconds(500)
    /// The pause behind a round of the balancer that had nothing to do.
    public static let balancerPause: Duration = .seconds(5)
    /// Chunks that one round of automatic splitting looks at on a shard.
    public static let splitChunksPerRound = 64
    /// The pause between two tries to bring a drop to its end on all shards.
    public static let coordinatorPause: Duration = .seconds(2)
    /// How long a write that a secondary's `$out` or `$merge` has sent to the primary may take, its write concern
    /// included. A primary that changes, or a client that leaves, ends the wait at once.
    public static let outputCallTimeout: Duration = .seconds(3600)
    /// How often a secondary that writes to the primary for `$out` or `$merge` looks whether that is still primary.
    public static let outputWatchInterval: Duration = .milliseconds(100)
    /// Documents and bytes of one write command of `$out` or `$merge`.
    public static let outputBatchDocuments = 1000
    public static let outputBatchBytes = 4 * 1024 * 1024
    /// How long an initial sync asks a source again that does not answer, before it begins anew.
    public static let initialSyncOutageMax: Duration = .seconds(60)
    /// An initial sync says how far it is this often.
    public static let initialSyncProgressInterval: Duration = .seconds(10)
    /// Attempts of an initial sync after which `replSetGetStatus` and the log say that it does not succeed; further
    /// ones follow.
    public static let initialSyncAttemptsMax = 10
    /// Optimes that a member in rollback asks about at once, and keys that it restores in one slice.
    public static let rollbackOptimesPerRequest = 2000
    public static let rollbackKeysPerSlice = 2000
    /// Bytes of documents that `local.rollback` keeps of rollbacks; the oldest go first.
    public static let rollbackArchiveBytesMax = 64 * 1024 * 1024
    /// Bytes of documents that a rollback gathers before it writes them to its files.
    public static let rollbackWriteBytes = 1024 * 1024
    /// How long `fsync` waits for its lock when the client does not say.
    public static let fsyncLockWaitDefault: Duration = .seconds(90)
    /// How often it looks whether it can have it.
    public static let fsyncLockRetry: Duration = .milliseconds(100)
    /// How long a backup asks its source again that does not answer, before it gives up.
    public static let backupOutageMax: Duration = .seconds(10)
    /// How often a backup is begun because its source rolled back or was started again.
    public static let backupAttemptsMax = 5
    /// Pause before an initial sync that failed tries again.
    public static let initialSyncRetryDelay: Duration = .milliseconds(100)
    /// Documents and bytes of one batch of an initial sync.
    public static let cloneBatchDocuments = 1000
    public static let cloneBatchBytes = 1024 * 1024
    /// An idle primary writes a no-op this often.
    public static let idleNoOpInterval: Duration = .seconds(10)
    /// Bytes of entries, compressed as they came, that an initial sync holds until its clone is through; at most one
    /// batch more. Above it the source is asked for no further ones.
    public static let initialSyncBufferBytes = 256 * 1024 * 1024
    /// How often an initial sync catches up again because it had to build indexes meanwhile.
    public static let initialSyncCatchUpsMax = 5
    /// Bytes by which an oplog may outgrow its size to keep what initial syncs have still to fetch.
    public static let oplogPinnedBytesMax = 64 * 1024 * 1024
    /// How long they are kept for an initial sync that does not ask for more.
    public static let oplogPinMax: Duration = .seconds(600)
    /// Uncompressed bytes of one sealed oplog block; a larger entry has a block of its own.
    public static let oplogBlockBytes = 64 * 1024
    /// A larger run of entries is sealed without compression: it would hold the loop.
    public static let oplogCompressedBytesMax = 1024 * 1024
    /// Sealed oplog blocks that are kept opened for readers.
    public static let oplogOpenBlocksMax = 4
    /// Oplog blocks that one append drops at the front.
    public static let oplogBlocksDroppedMax = 4
    /// Stored bytes of an oplog that are kept in memory where the rest is in files.
    public static let oplogMemoryBytesMax = 64 * 1024 * 1024
    /// Pieces of an oplog that are kept in memory after they were read from a file.
    public static let oplogCacheBytes = 8 * 1024 * 1024
    /// The same while those who asked for them have not come back yet.
    public static let oplogCacheBytesMost = 64 * 1024 * 1024
    /// How long that is.
    public static let oplogCacheAwaited: Duration = .seconds(5)
    /// Bytes of an oplog that are read from a file at once.
    public static let oplogReadAheadBytes = 1024 * 1024
    /// Segments of an oplog of which is known where their pieces begin.
    public static let oplogSegmentIndexesMax = 64
    /// Bytes of a journal's segment; a larger batch has a segment of its own.
    public static let journalSegmentBytes = 64 * 1024 * 1024
    /// Bytes of batches above which a journal writes before the commit interval is over.
    public static let journalGatherBytes = 1024 * 1024
    /// Bytes of batches that wait to be written, above which writers wait for the disk.
    public static let journalWaitingBytesMax = 64 * 1024 * 1024
    /// Frames of at least so many bytes are compressed.
    public static let journalCompressedBytesMin = 512
    /// Frames of more bytes are not.
    public static let journalCompressedBytesMax = 512 * 1024 * 1024
    /// How long what was written may stay unsynced, unless somebody waits for it.
    public static let journalCommitInterval: Duration = .milliseconds(100)
    /// Files that are kept to become segments of a journal.
    public static let journalSparesMax = 4
    /// How often a member whose disk is full looks whether there is room.
    public static let diskFullRetry: Duration = .seconds(1)
    /// Bytes of journal behind which a checkpoint is written.
    public static let checkpointJournalBytes = 64 * 1024 * 1024
    /// Bytes of operations that are sorted at once.
    public static let checkpointChunkBytes = 64 * 1024 * 1024
    /// Runs of about one size that are merged into a larger one.
    public static let runsPerTier = 4
    /// Bytes of operations in a block of a run; a larger operation has a block of its own.
    public static let runBlockBytes = 256 * 1024
    /// The most that a block may be stored in.
    public static let runBlockStoredBytesMax = 64 * 1024 * 1024
    /// Bytes of a segment of an oplog in files.
    public static let oplogSegmentBytes = 16 * 1024 * 1024
    /// How long a directory that somebody else holds is tried again.
    public static let directoryLockWait: Duration = .seconds(5)
    /// Bytes of files after which a recovery says how far it is.
    public static let recoveryProgressBytes = 512 * 1024 * 1024
}
