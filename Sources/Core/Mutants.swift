/// Bugs that are planted to see whether the simulator finds them (docs/simulation.md).
///
/// A run carries a set of them from the simulator's options through `SimulationHooks` to the protocol. Built without
/// `QUORATE_SIMULATION`, no set has any of them.
public struct Mutants: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Whether the build has planted bugs at all.
    public static var areBuiltIn: Bool {
        #if QUORATE_SIMULATION
            true
        #else
            false
        #endif
    }

    /// Whether that bug is planted here and the build has planted bugs at all.
    @inline(__always) package func isActive(_ mutant: Mutants) -> Bool {
        #if QUORATE_SIMULATION
            return contains(mutant)
        #else
            return false
        #endif
    }

    private static func bit(_ number: UInt64) -> Mutants { Mutants(rawValue: 1 << number) }

    /// A vote is forgotten by a restart.
    public static let voteNotPersisted = bit(0)
    /// A primary counts a majority for entries of earlier terms as commitment (Raft §5.4.2).
    public static let commitIgnoresTerm = bit(1)
    /// Rollback leaves the oldest entry that it should undo in the data.
    public static let rollbackSkipsEntry = bit(2)
    /// The commit point is where one member less than a majority is.
    public static let commitPointOffByOne = bit(3)
    /// A retryable write that was executed is executed again.
    public static let retryAppliedTwice = bit(4)
    /// Votes go to candidates whose log is behind.
    public static let voteForStaleLog = bit(5)
    /// A member that forgot counts as the one that it was.
    public static let incarnationIgnored = bit(6)
    /// A primary goes on when it hears of a later term, and entries of a deposed one are taken.
    public static let staleTermAccepted = bit(7)
    /// Writes that wait for a majority go on waiting when their primary steps down.
    public static let stepDownKeepsWaiters = bit(8)
    /// A linearizable read is answered without asking a majority.
    public static let linearizableNotConfirmed = bit(9)
    /// A majority read shows the newest data.
    public static let majorityReadsLatest = bit(10)
    /// An initial sync does not apply the updates that were made while it cloned.
    public static let initialSyncSkipsUpdates = bit(11)
    /// A read at a time shows the newest data.
    public static let snapshotReadsLatest = bit(12)
    /// A read does not wait for what its session has seen.
    public static let clusterTimeIgnored = bit(13)
    /// A follower takes any commit point that a heartbeat tells, whatever the term of its own last entry.
    public static let commitPointOfAnyBranch = bit(14)
    /// Ayes to the dry run count as votes.
    public static let dryRunCounts = bit(15)
    /// A configuration follows another that no majority holds.
    public static let reconfigUnsafe = bit(16)
    /// A vote is given although one was given in the term.
    public static let votesTwice = bit(17)
    /// Secondaries delete what has expired, too.
    public static let secondariesExpire = bit(18)
    /// What a member said before it was started again counts, though it may have lost that.
    public static let runIgnored = bit(19)
    /// A member that may have lost the end of its log shows the rollback id that it had before.
    public static let lossNotAnnounced = bit(20)
    /// A rollback id is shown before it is durable.
    public static let rollbackIDShownEarly = bit(21)
    /// What a member finds when it starts counts as durable before it is flushed.
    public static let foundIsDurable = bit(22)
    /// A member that is started again knows of nothing committed.
    public static let commitPointForgotten = bit(23)
    /// A journal's frame counts as durable before it is synced.
    public static let frameNotSynced = bit(24)
    /// The checksum of a journal's frame is not looked at.
    public static let frameNotChecked = bit(25)
    /// A frame that cannot be read is taken for the end, although a later one says that it was durable.
    public static let witnessIgnored = bit(26)
    /// A manifest takes the place of another, and the directory is not synced.
    public static let manifestNotNamed = bit(27)
    /// A checkpoint names a run, and the directory of the runs is not synced.
    public static let runNotNamed = bit(28)
    /// A checkpoint does not name the last run that it has written.
    public static let runForgotten = bit(29)
    /// A checkpoint names what it has written of the oplog before that is synced.
    public static let oplogNotSynced = bit(30)
    /// Pieces of the journal are used again before the checkpoint is there that makes them needless.
    public static let journalReusedEarly = bit(31)
    /// A rollback says that what it takes back is kept before the files are synced.
    public static let rollbackFileNotSynced = bit(32)

    /// Of a block that is in a file in part, what is not in it goes from memory, too.
    public static let oplogSeamDropped = bit(33)
    /// Of a block that is in a file in part, all stays in memory.
    public static let oplogSeamDoubled = bit(34)
    /// A part of the oplog that was taken back is read from files that still hold it.
    public static let oplogBranchIgnored = bit(35)

    /// A migration's donor that finds no decision on the config servers takes that for an abort.
    public static let migrationOutcomeFromRead = bit(40)
    /// A migration's donor closes reads without an entry in its oplog.
    public static let migrationReadsClosedInMemory = bit(41)
    /// A migration's recipient takes the range before the config servers have decided.
    public static let migrationOwnsEarly = bit(42)
    /// What a migration's recipient has fetched is stored although the migration was aborted.
    public static let migrationLateBatch = bit(43)
    /// A migration copies what its donor may still roll back.
    public static let migrationClonesUncommitted = bit(44)
    /// A migration's recipient says that it is done before it has all that was written.
    public static let migrationDrainsEarly = bit(45)
    /// The config servers tell a decision before a majority of them has it.
    public static let migrationDecisionEarly = bit(46)
    /// A step of a migration goes on before a majority has its checkpoint.
    public static let checkpointNotAwaited = bit(47)

    /// Those of sharding, which the model of a migration must find (`Tests/ShardingTests`).
    public static let ofSharding: [(name: String, mutant: Mutants)] = [
        ("migration-outcome-from-read", .migrationOutcomeFromRead),
        ("migration-reads-closed-in-memory", .migrationReadsClosedInMemory),
        ("migration-owns-early", .migrationOwnsEarly), ("migration-late-batch", .migrationLateBatch),
        ("migration-clones-uncommitted", .migrationClonesUncommitted),
        ("migration-drains-early", .migrationDrainsEarly), ("migration-decision-early", .migrationDecisionEarly),
        ("checkpoint-not-awaited", .checkpointNotAwaited),
    ]

    /// Those of storage in files.
    public static let ofFiles: [(name: String, mutant: Mutants)] = [
        ("frame-not-synced", .frameNotSynced), ("frame-not-checked", .frameNotChecked),
        ("witness-ignored", .witnessIgnored), ("manifest-not-named", .manifestNotNamed),
        ("run-not-named", .runNotNamed), ("run-forgotten", .runForgotten), ("oplog-not-synced", .oplogNotSynced),
        ("journal-reused-early", .journalReusedEarly), ("rollback-file-not-synced", .rollbackFileNotSynced),
        ("oplog-seam-dropped", .oplogSeamDropped), ("oplog-seam-doubled", .oplogSeamDoubled),
        ("oplog-branch-ignored", .oplogBranchIgnored),
    ]

    /// All of them, with the names that `quorate simulate --mutant` takes.
    public static let all: [(name: String, mutant: Mutants)] = ofMembers + ofFiles

    /// Those of everything but storage in files.
    public static let ofMembers: [(name: String, mutant: Mutants)] = [
        ("vote-not-persisted", .voteNotPersisted), ("commit-ignores-term", .commitIgnoresTerm),
        ("rollback-skips-entry", .rollbackSkipsEntry), ("commit-point-off-by-one", .commitPointOffByOne),
        ("retry-applied-twice", .retryAppliedTwice), ("vote-for-stale-log", .voteForStaleLog),
        ("incarnation-ignored", .incarnationIgnored), ("stale-term-accepted", .staleTermAccepted),
        ("step-down-keeps-waiters", .stepDownKeepsWaiters), ("linearizable-not-confirmed", .linearizableNotConfirmed),
        ("majority-reads-latest", .majorityReadsLatest), ("initial-sync-skips-updates", .initialSyncSkipsUpdates),
        ("snapshot-reads-latest", .snapshotReadsLatest), ("cluster-time-ignored", .clusterTimeIgnored),
        ("commit-point-of-any-branch", .commitPointOfAnyBranch), ("dry-run-counts", .dryRunCounts),
        ("reconfig-unsafe", .reconfigUnsafe), ("votes-twice", .votesTwice),
        ("secondaries-expire", .secondariesExpire), ("run-ignored", .runIgnored),
        ("loss-not-announced", .lossNotAnnounced), ("rollback-id-shown-early", .rollbackIDShownEarly),
        ("found-is-durable", .foundIsDurable), ("commit-point-forgotten", .commitPointForgotten),
    ]
}
