public import BSON

/// **Optional power of a storage engine**: it keeps the oplog as a log of its own, better than a table could.
///
/// Purpose: entries are only ever added at the end and removed at both ends, in order. An engine that keeps them apart
/// (compressed blocks in memory, segments of files) saves copies and search trees. An engine without the power has its
/// entries stored in the table `TableID.oplog`, with nothing to do for it.
///
/// Contract:
/// - What changes the log comes with batches (`WriteBatch.forEachEntry`, `truncatesAfter`, `truncatesThrough`), and
///   takes effect with them: `apply` changes tables and log together, or neither. Truncations come before entries.
/// - Entries are valid BSON with `ts` and `t`; timestamps rise strictly, terms do not fall. `apply` refuses others.
/// - Nothing at or before the commit point that the log was told is ever truncated behind; it may be compressed.
/// - A truncation in front names the end of a piece (`frontPiece`): whole pieces go.
/// - What is read may not be in memory: then a call throws `StorageNotResident` with the table `TableID.oplog` and the
///   timestamp where it stopped (8 bytes, big-endian) as the key, having changed nothing, and is made again when the
///   engine has prefetched that (`StoragePrefetching`). The newest entry always is in memory, what was prefetched stays
///   until whoever asked has come back for it, and `first`, `last` and what is counted never waits. Nor
///   does `apply`.
/// - Bytes that are handed out are valid until the next `apply` or suspension.
///
/// How to implement: `Plugins/MemoryStorage/MemoryLog`. Conformance suite: `StorageConformance`, which finds the power
/// by itself.
public protocol StorageLog: AnyObject {
    /// The oldest and the newest entry; nil when the log is empty.
    var first: OpTime? { get }
    var last: OpTime? { get }
    /// How many entries there are, and their bytes, uncompressed.
    var count: Int { get }
    var byteCount: Int { get }
    /// Bytes of memory or disk that hold them.
    var storedBytes: Int { get }
    /// Bytes of the entries that the commit point has not passed.
    var openBytes: Int { get }

    /// Tells how large the log is to become: pieces are made in proportion.
    func expect(bytesMax: Int)
    /// Tells which entries can no longer be truncated behind. It may be ahead of the log.
    func setCommitPoint(_ timestamp: Timestamp)

    /// Seals what can be, in one bounded step: asked before room is looked for in front, so that nothing is dropped
    /// which would have fitted.
    func seal()

    /// The optime of the entry at `timestamp`; nil when there is none.
    /// - Throws: `StorageNotResident`, as all that reads.
    func optime(at timestamp: Timestamp) throws -> OpTime?
    /// Calls `body` with the entries from `timestamp` on, in the order of `direction`, until it returns false.
    func read(
        from timestamp: Timestamp, inclusive: Bool, direction: ScanDirection,
        _ body: (UnsafeRawBufferPointer) throws -> Bool) throws

    /// The last entry and the stored bytes of a piece that can be dropped in front: the first for `index` 0, and so
    /// on. nil behind the last one that the commit point has passed as a whole.
    func frontPiece(_ index: Int) throws -> (last: OpTime, storedBytes: Int)?
    /// A piece as it is stored, sealed (`LogFrame`), when its first entry is the next one behind `timestamp`. nil when
    /// it is not in memory, too: `read` says so then.
    func sealedPiece(behind timestamp: Timestamp) -> SealedLogPiece?
}

extension StorageLog {
    /// A log that does not seal has none.
    public func sealedPiece(behind timestamp: Timestamp) -> SealedLogPiece? { nil }
    /// Nothing to do for a log that does not care.
    public func expect(bytesMax: Int) {}
    /// Nothing to do for a log that does not seal.
    public func seal() {}
}

/// A run of entries as one frame (`LogFrame`), for sending it on without opening it.
public struct SealedLogPiece {
    public let frame: [UInt8]
    public let first: OpTime
    public let last: OpTime
    public let count: Int

    public init(frame: [UInt8], first: OpTime, last: OpTime, count: Int) {
        self.frame = frame
        self.first = first
        self.last = last
        self.count = count
    }
}

extension TableID {
    /// Where the oplog is stored by engines that keep no log of their own: `ts` (8 bytes, big-endian) → entry.
    public static let oplog = TableID(rawValue: 2)
}
