public import BSON
public import Core

/// A member's operation log: an uncompressed tail, which holds at least everything above the commit point, and in front
/// of it sealed blocks of about 64 KB, compressed and checksummed, which are shipped to secondaries as they are.
///
/// Contract:
/// - Entries are valid BSON with `ts` and `t`; their timestamps rise strictly and their terms do not fall.
/// - Bytes that are handed out are valid until `body` returns; nothing is written to the log meanwhile.
/// - An append seals at most one block and drops at most `Limits.oplogBlocksDroppedMax`. Blocks are dropped in front
///   while the log takes more memory than `bytesMax`: never an entry above the commit point, or the last one; and an
///   entry at or behind the pinned timestamp only when the log takes `pinnedBytesMax` more. A log whose commit point
///   stalls outgrows its limit (`isOverfull`), and its owner refuses writes; a pin is no reason to.
/// - Kept in memory. A durable engine persists entries as `appendObserver` sees them.
public final class Oplog {
    public var bytesMax: Int
    /// Bytes that a pin may keep beyond `bytesMax`.
    public var pinnedBytesMax = Limits.oplogPinnedBytesMax
    /// Called with each entry behind its append.
    public var appendObserver: ((UnsafeRawBufferPointer, OpTime) -> Void)?

    var blocks: [OplogBlock] = []
    var tail = OplogTail()
    /// Entries of the tail, from its first, that the commit point has passed.
    private var sealableCount = 0
    private var commitPoint = Timestamp.zero
    private var pinned: Timestamp?
    /// The last entry that was dropped in front.
    var lastDropped = OpTime.null
    private var sealedFrameBytes = 0
    private var sealedEntryBytes = 0
    private var sealedCount = 0
    /// Opened blocks, the one used last at the end.
    var opened: [OpenedBlock] = []

    /// Uncompressed bytes of a sealed block: less than usual where the whole log has room for few.
    private let blockBytes: Int

    public init(bytesMax: Int) {
        self.bytesMax = bytesMax
        blockBytes = max(1024, min(Limits.oplogBlockBytes, bytesMax / 4))
    }

    deinit { tail.removeAll() }

    /// The oldest and the newest entry; nil when the log is empty.
    public var first: OpTime? { blocks.first?.first ?? tail.first?.optime }
    public var last: OpTime? { tail.last?.optime ?? blocks.last?.last }
    public var isEmpty: Bool { blocks.isEmpty && tail.isEmpty }
    public var count: Int { sealedCount + tail.count }
    /// Bytes of all entries, uncompressed.
    public var byteCount: Int { sealedEntryBytes + tail.byteCount }
    /// Bytes that hold them: compressed where they are sealed. This is what `bytesMax` bounds.
    public var storedBytes: Int { sealedFrameBytes + tail.byteCount }
    /// Bytes of the entries that the commit point has not passed.
    public var uncommittedBytes: Int { tail.byteCount - tail.byteCount(ofFirst: sealableCount) }
    /// More memory than allowed by what may not be dropped. What the commit point has passed in the tail does not
    /// count: the next appends seal and drop it, if they are not refused.
    public var isOverfull: Bool { uncommittedBytes > bytesMax }
    public var sealedBlockCount: Int { blocks.count }

    // MARK: Writing

    /// Adds an entry at the end.
    public func append(_ entry: UnsafeRawBufferPointer, optime: OpTime) throws {
        if let last {
            try invariant(
                optime.timestamp > last.timestamp && optime.term >= last.term,
                "the oplog entry \(optime) does not come behind \(last)")
        }
        tail.append(entry, optime: optime)
        // A secondary may know a commit point that is ahead of its log.
        if optime.timestamp <= commitPoint { sealableCount = tail.count }
        try sealIfDue()
        dropIfOverfull()
        appendObserver?(entry, optime)
    }

    /// Removes the entries behind `timestamp`: rollback. They must be above the commit point.
    public func truncate(after timestamp: Timestamp) throws {
        try invariant(
            timestamp >= commitPoint,
            "the oplog is truncated behind \(timestamp), below the commit point \(commitPoint)")
        guard timestamp < .max else { return }
        tail.removeLast(from: tail.position(of: Timestamp(rawValue: timestamp.rawValue + 1)))
        sealableCount = min(sealableCount, tail.count)
    }

    /// Tells which entries can no longer be rolled back; only they are sealed.
    public func setCommitPoint(_ timestamp: Timestamp) {
        guard timestamp > commitPoint else { return }
        commitPoint = timestamp
        sealableCount = timestamp == .max ? tail.count : tail.position(of: Timestamp(rawValue: timestamp.rawValue + 1))
    }

    /// Keeps every entry at or behind `timestamp` beyond the limit, but for `pinnedBytesMax` at most: somebody is
    /// reading there. nil: nobody is.
    public func pinOldest(_ timestamp: Timestamp?) { pinned = timestamp }

    /// Empties the log, as before the first append.
    public func removeAll() {
        tail.removeAll()
        blocks.removeAll()
        opened.removeAll()
        sealableCount = 0
        commitPoint = .zero
        lastDropped = .null
        sealedFrameBytes = 0
        sealedEntryBytes = 0
        sealedCount = 0
    }

    private func sealIfDue() throws {
        guard tail.byteCount(ofFirst: sealableCount) >= blockBytes else { return }
        let run = tail.run(from: 0, before: sealableCount, bytesMax: blockBytes)
        let compress = run.bytes.count <= Limits.oplogCompressedBytesMax
        let block = OplogBlock(
            frame: try Frame.seal(run.bytes, count: run.count, compress: compress), first: tail[0].optime,
            last: tail[run.count - 1].optime, count: run.count, byteCount: run.bytes.count)
        tail.removeFirst(run.count)
        sealableCount -= run.count
        blocks.append(block)
        sealedFrameBytes += block.frame.count
        sealedEntryBytes += block.byteCount
        sealedCount += block.count
    }

    private var mayDropFirst: Bool {
        guard let block = blocks.first, blocks.count > 1 || !tail.isEmpty else { return false }
        guard let pinned, block.last.timestamp >= pinned else { return true }
        return storedBytes > bytesMax + pinnedBytesMax
    }

    private func dropIfOverfull() {
        var dropped = 0
        while storedBytes > bytesMax, mayDropFirst, dropped < Limits.oplogBlocksDroppedMax {
            let block = blocks.removeFirst()
            sealedFrameBytes -= block.frame.count
            sealedEntryBytes -= block.byteCount
            sealedCount -= block.count
            lastDropped = block.last
            opened.removeAll { $0.first == block.first.timestamp }
            dropped += 1
        }
    }
}
