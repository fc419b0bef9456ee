public import BSON
public import Core

/// What a member's operation log means: its optimes, the commit point in it, who is reading where, and so what is
/// dropped in front. The entries themselves are the storage engine's (`StorageLog`): in its own log, or in a table.
///
/// Contract:
/// - Entries are appended by the batches that they describe, and by nothing else. Their timestamps rise strictly and
///   their terms do not fall.
/// - Bytes that are handed out are valid until `body` returns; nothing is written meanwhile.
/// - A batch that appends drops pieces in front while the log takes more room than `bytesMax`, at most
///   `Limits.oplogBlocksDroppedMax`: never an entry at or above the commit point, or one that is not `retention` older
///   than the newest; and an entry at or behind the pinned timestamp only when the log takes `pinnedBytesMax` more. A
///   log whose commit point stalls outgrows its limit
///   (`isOverfull`), and its owner refuses writes; a pin is no reason to. The entry at the commit point itself stays,
///   because a majority stands there or behind and asks from there on: were it gone, all of them would be stale at
///   once, and with them the set.
public final class Oplog {
    public var bytesMax: Int { didSet { log.expect(bytesMax: bytesMax) } }
    /// How old an entry has to be before it is dropped, compared with the newest one, in seconds: the log outgrows
    /// `bytesMax` for it. Not by the clock, so that one which jumps drops nothing.
    public var retention: Int64 = 0
    /// Bytes that a pin may keep beyond `bytesMax`.
    public var pinnedBytesMax = Limits.oplogPinnedBytesMax

    let log: any StorageLog
    private var pinned: Timestamp?
    private var commitPoint = Timestamp.zero
    /// The last entry that was dropped in front.
    private var lastDropped = OpTime.null
    /// Where a run of entries is gathered to be sealed.
    private let run = ByteBuffer(capacity: 4096)

    public convenience init(_ versions: VersionStore, bytesMax: Int) {
        self.init(versions.engine.log, bytesMax: bytesMax)
    }

    init(_ log: any StorageLog, bytesMax: Int) {
        self.log = log
        self.bytesMax = bytesMax
        log.expect(bytesMax: bytesMax)
    }

    /// The oldest and the newest entry; nil when the log is empty.
    public var first: OpTime? { log.first }
    public var last: OpTime? { log.last }
    public var isEmpty: Bool { log.last == nil }
    public var count: Int { log.count }
    /// Bytes of all entries, uncompressed.
    public var byteCount: Int { log.byteCount }
    /// Bytes that hold them: compressed where they are sealed. This is what `bytesMax` bounds.
    public var storedBytes: Int { log.storedBytes }
    /// Bytes of the entries that the commit point has not passed.
    public var uncommittedBytes: Int { log.openBytes }
    /// More memory than allowed by what may not be dropped. What the commit point has passed does not count: the next
    /// batches drop it, if they are not refused.
    public var isOverfull: Bool { uncommittedBytes > bytesMax }

    // MARK: Writing

    /// Adds to a batch with entries that what is too much goes in front.
    /// - Returns: what of the front was not in memory: it is left to a later batch.
    @inline(__always)
    func makeRoom(in batch: WriteBatch) throws -> StorageNotResident? {
        log.seal()
        let stored = log.storedBytes + batch.entryBytes
        return stored > bytesMax ? try makeRoom(in: batch, stored: stored) : nil
    }

    @inline(never)
    private func makeRoom(in batch: WriteBatch, stored: Int) throws -> StorageNotResident? {
        var stored = stored
        var cut: OpTime?
        var index = 0
        var missing: StorageNotResident?
        let newest = log.last
        while stored > bytesMax, index < Limits.oplogBlocksDroppedMax {
            var next: (last: OpTime, storedBytes: Int)?
            do { next = try log.frontPiece(index) } catch let error as StorageNotResident { missing = error }
            guard let piece = next else { break }
            if piece.last.timestamp >= commitPoint { break }
            if retention > 0, let newest, newest.timestamp.seconds(since: piece.last.timestamp) < retention { break }
            if let pinned, piece.last.timestamp >= pinned, stored <= bytesMax + pinnedBytesMax { break }
            cut = piece.last
            stored -= piece.storedBytes
            index += 1
        }
        if let cut {
            batch.truncateLog(through: cut.timestamp)
            lastDropped = cut
        }
        return missing
    }

    /// Empties the log with a step, as before the first entry.
    func removeAll(_ step: WriteStep) {
        step.batch.truncateLog(through: .max)
        commitPoint = .zero
        lastDropped = .null
    }

    /// Tells which entries can no longer be rolled back.
    public func setCommitPoint(_ timestamp: Timestamp) {
        commitPoint = max(commitPoint, timestamp)
        log.setCommitPoint(timestamp)
    }

    /// Keeps every entry at or behind `timestamp` beyond the limit, but for `pinnedBytesMax` at most: somebody is
    /// reading there. nil: nobody is.
    public func pinOldest(_ timestamp: Timestamp?) { pinned = timestamp }
}

// MARK: Reading

extension Oplog {
    /// Whether the log holds this very entry: same time and same term.
    public func contains(_ optime: OpTime) throws -> Bool { try self.optime(at: optime.timestamp) == optime }

    /// The optime of the entry at `timestamp`.
    public func optime(at timestamp: Timestamp) throws -> OpTime? { try log.optime(at: timestamp) }

    /// Calls `body` with the entry at `timestamp`; false when there is none.
    public func entry(at timestamp: Timestamp, _ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        var isFound = false
        try log.read(from: timestamp, inclusive: true, direction: .forward) {
            guard try storedDocument($0)["ts"]?.asTimestamp == timestamp else { return false }
            isFound = true
            try body($0)
            return false
        }
        return isFound
    }

    /// Calls `body` with the entries from `timestamp` on, until it returns false, or a limit is reached; at least one
    /// entry is given, whatever its size.
    public func read(
        from timestamp: Timestamp, inclusive: Bool, direction: ScanDirection, limitEntries: Int, limitBytes: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        var entriesLeft = limitEntries
        var bytesLeft = limitBytes
        var isFirst = true
        guard entriesLeft > 0 else { return }
        try log.read(from: timestamp, inclusive: inclusive, direction: direction) { entry in
            guard isFirst || entry.count <= bytesLeft else { return false }
            isFirst = false
            entriesLeft -= 1
            bytesLeft = max(bytesLeft - entry.count, 0)
            return try body(entry) && entriesLeft > 0
        }
    }

    /// What a secondary is sent next: the entries behind `timestamp`. A sealed piece goes as it is when the reader is
    /// at its beginning; otherwise a run of entries of about `limitBytes`, one at least. nil when there is none.
    public func nextFrame(after timestamp: Timestamp, limitBytes: Int, compress: Bool = false) throws -> OplogFrame? {
        if let piece = log.sealedPiece(behind: timestamp) {
            return OplogFrame(
                bytes: piece.frame, first: piece.first, last: piece.last, previous: try optime(before: piece.first),
                count: piece.count)
        }
        run.removeAll(keeping: 1 << 20)
        var ends: (first: OpTime, last: OpTime)?
        var count = 0
        try readAhead(behind: timestamp, { count > 0 }) { entry in
            guard count == 0 || run.count + entry.count <= limitBytes else { return false }
            guard let optime = OpTime(try storedDocument(entry)) else {
                throw InvariantViolation("an oplog entry has no optime")
            }
            run.append(entry)
            count += 1
            ends = (ends?.first ?? optime, optime)
            // The next may go as it is.
            return run.count < limitBytes && log.sealedPiece(behind: optime.timestamp) == nil
        }
        guard let ends else { return nil }
        return OplogFrame(
            bytes: try LogFrame.seal(run.bytes, count: count, compress: compress), first: ends.first, last: ends.last,
            previous: try optime(before: ends.first), count: count)
    }

    /// Reads entries; what is not in memory ends them, where there are enough without.
    private func readAhead(
        behind timestamp: Timestamp, _ areEnough: () -> Bool, _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        do {
            try log.read(from: timestamp, inclusive: false, direction: .forward, body)
        } catch let missing as StorageNotResident {
            if !areEnough() { throw missing }
        }
    }

    /// The entry before one that is there.
    private func optime(before optime: OpTime) throws -> OpTime {
        var before: OpTime?
        try log.read(from: optime.timestamp, inclusive: false, direction: .backward) {
            before = OpTime(try storedDocument($0))
            return false
        }
        return before ?? lastDropped
    }
}

extension Timestamp {
    /// Whole seconds between two times.
    fileprivate func seconds(since other: Timestamp) -> Int64 { Int64(seconds) - Int64(other.seconds) }
}
