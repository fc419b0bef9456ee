import BSON
import Core

/// The oplog in memory: an uncompressed tail, which holds at least everything above the commit point, and in front of
/// it sealed blocks of about 64 KB, compressed and checksummed. In front of those, where the engine has files, whole
/// segments that are not in memory (`StoredLog`).
///
/// A batch seals at most one block.
final class MemoryLog: StorageLog {
    var blocks: [LogBlock] = []
    /// What is in files only.
    let stored = StoredLog()
    /// Segments in files of which memory holds everything, oldest first: they can take the place of blocks.
    var offered: [StoredLogSegment] = []
    /// Stored bytes above which they do.
    var memoryBytesMax = Int.max
    /// Why no more is taken: files and memory do not hold the same.
    var disagreement: InvariantViolation?
    var mutants: Mutants = []
    private var tail = LogTail()
    /// Entries of the tail, from its first, that the commit point has passed.
    private var sealableCount = 0
    private(set) var commitPoint = Timestamp.zero
    private var sealedFrameBytes = 0
    private var sealedEntryBytes = 0
    private var sealedCount = 0
    private var opened = OpenedLogBlocks()
    /// Uncompressed bytes of a sealed block: less than usual where the whole log has room for few.
    private var blockBytes = Limits.oplogBlockBytes

    deinit { tail.removeAll() }

    var first: OpTime? { stored.first ?? firstInMemory }
    var firstInMemory: OpTime? { blocks.first?.first ?? tail.first?.optime }
    var last: OpTime? { tail.last?.optime ?? blocks.last?.last ?? stored.last }
    var count: Int { stored.count + sealedCount + tail.count }
    var byteCount: Int { stored.byteCount + sealedEntryBytes + tail.byteCount }
    var storedBytes: Int { stored.storedBytes + memoryBytes }
    /// Bytes that are in memory.
    var memoryBytes: Int { sealedFrameBytes + tail.byteCount }
    var openBytes: Int { tail.byteCount - tail.byteCount(ofFirst: sealableCount) }

    /// How large the log is to become; nil when nobody said.
    private(set) var expectedBytes: Int?

    func expect(bytesMax: Int) {
        expectedBytes = bytesMax
        blockBytes = max(1024, min(Limits.oplogBlockBytes, bytesMax / 4))
    }

    func setCommitPoint(_ timestamp: Timestamp) {
        guard timestamp > commitPoint else { return }
        commitPoint = timestamp
        sealableCount = timestamp.next.map { tail.position(of: $0) } ?? tail.count
    }

    // MARK: Changing

    /// Looks at what a batch will do before any of it is done.
    func check(_ batch: WriteBatch) throws {
        if let disagreement { throw disagreement }
        var last = last
        if batch.truncatesThrough == .max { last = nil }
        if let after = batch.truncatesAfter {
            try invariant(
                after >= commitPoint, "the oplog is truncated behind \(after), below the commit point \(commitPoint)")
            last = nil
            try putBack(from: after)
            // Opened now, while it can still be refused.
            for number in blocks.indices.reversed() where blocks[number].last.timestamp > after { _ = try open(number) }
        }
        try batch.checkEntries(behind: last)
    }

    /// Does what `check` has found in order.
    func apply(_ batch: WriteBatch) {
        if let through = batch.truncatesThrough { removeFirst(through: through) }
        if let after = batch.truncatesAfter, !mutants.isActive(.oplogBranchIgnored) {
            // What they hold behind it is no part of the log any more, and will be something else.
            offered.removeAll { $0.last.timestamp > after }
        }
        if let after = batch.truncatesAfter?.next {
            tail.removeLast(from: tail.position(of: after))
            sealableCount = min(sealableCount, tail.count)
            unseal(from: after)
        }
        batch.forEachEntry { optime, entry in
            tail.append(entry, optime: optime)
            // A secondary may know a commit point that is ahead of its log.
            if optime.timestamp <= commitPoint { sealableCount = tail.count }
        }
        if batch.entryCount > 0 { seal() }
    }

    /// Takes away the sealed entries at or behind `start`: there are some where a log was put back from files, in which
    /// entries are sealed before they are committed.
    private func unseal(from start: Timestamp) {
        while let block = blocks.last, block.last.timestamp >= start {
            guard let content = try? open(blocks.count - 1) else { return }
            blocks.removeLast()
            forget(block)
            for index in 0..<content.position(of: start) {
                tail.append(content.bytes(index), optime: content.optimes[index])
            }
        }
    }

    /// Adds a sealed block behind all that is there, before anything was written; not one that ends at or before
    /// `dropped`.
    func restore(_ frame: [UInt8], behind dropped: Timestamp) throws {
        let content = try OpenedLogBlock(frame: frame)
        guard let block = content.block(of: frame) else {
            throw InvariantViolation("a frame of the oplog holds no entries")
        }
        guard block.last.timestamp > dropped else { return }
        try invariant(last.map { $0 < block.first } ?? true, "the blocks of an oplog are not in order")
        blocks.append(block)
        count(block)
    }

    private func count(_ block: LogBlock) {
        sealedFrameBytes += block.frame.count
        sealedEntryBytes += block.byteCount
        sealedCount += block.count
    }

    /// Puts others into the place of the first blocks.
    func replaceFirst(_ number: Int, with others: [LogBlock]) {
        for block in blocks[..<number] { forget(block) }
        blocks.replaceSubrange(..<number, with: others)
        for block in others { count(block) }
    }

    /// A block is no longer part of the log.
    private func forget(_ block: LogBlock) {
        sealedFrameBytes -= block.frame.count
        sealedEntryBytes -= block.byteCount
        sealedCount -= block.count
        opened.forget(block)
    }

    private func removeFirst(through timestamp: Timestamp) {
        if timestamp == .max { return removeAll() }
        stored.removeFirst(through: timestamp)
        offered.removeAll { $0.last.timestamp <= timestamp }
        replaceFirst(blocks.prefix { $0.last.timestamp <= timestamp }.count, with: [])
    }

    func removeAll() {
        stored.removeAll()
        offered.removeAll()
        tail.removeAll()
        blocks.removeAll()
        opened.removeAll()
        sealableCount = 0
        commitPoint = .zero
        sealedFrameBytes = 0
        sealedEntryBytes = 0
        sealedCount = 0
    }

    func seal() {
        adopt()
        guard tail.byteCount(ofFirst: sealableCount) >= blockBytes else { return }
        let run = tail.run(from: 0, before: sealableCount, bytesMax: blockBytes)
        let compress = run.bytes.count <= Limits.oplogCompressedBytesMax
        // What cannot be sealed stays in the tail.
        guard let frame = try? LogFrame.seal(run.bytes, count: run.count, compress: compress) else { return }
        let block = LogBlock(
            frame: frame, first: tail[0].optime, last: tail[run.count - 1].optime, count: run.count,
            byteCount: run.bytes.count)
        tail.removeFirst(run.count)
        sealableCount -= run.count
        blocks.append(block)
        count(block)
    }

    // MARK: Reading

    func frontPiece(_ index: Int) -> (last: OpTime, storedBytes: Int)? {
        if index < stored.segments.count { return (stored.segments[index].last, stored.segments[index].bytes) }
        let number = index - stored.segments.count
        guard number < blocks.count else { return nil }
        return (blocks[number].last, blocks[number].frame.count)
    }

    func sealedPiece(behind timestamp: Timestamp) -> SealedLogPiece? {
        guard let start = timestamp.next else { return nil }
        let number = blockIndex(of: start)
        let block: LogBlock
        if let last = stored.last, start <= last.timestamp {
            guard let piece = stored.sealedPiece(from: start) else { return nil }
            block = piece
        } else {
            guard number < blocks.count, blocks[number].first.timestamp >= start else { return nil }
            block = blocks[number]
        }
        return SealedLogPiece(frame: block.frame, first: block.first, last: block.last, count: block.count)
    }

    func optime(at timestamp: Timestamp) throws -> OpTime? {
        let index = tail.position(of: timestamp)
        if index < tail.count, tail[index].optime.timestamp == timestamp { return tail[index].optime }
        if let last = stored.last, timestamp <= last.timestamp {
            return try stored.optime(at: timestamp) { try opened.open($0) }
        }
        let number = blockIndex(of: timestamp)
        guard number < blocks.count, blocks[number].first.timestamp <= timestamp else { return nil }
        let block = try open(number)
        let position = block.position(of: timestamp)
        return block.optimes[position].timestamp == timestamp ? block.optimes[position] : nil
    }

    func read(
        from timestamp: Timestamp, inclusive: Bool, direction: ScanDirection,
        _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        if direction == .forward {
            guard let start = inclusive ? timestamp : timestamp.next else { return }
            try readForward(from: start, body)
        } else {
            // Entries before the end; without one, all.
            try readBackward(before: inclusive ? timestamp.next : timestamp, body)
        }
    }

    private func readForward(from start: Timestamp, _ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
        if let last = stored.last, start <= last.timestamp {
            guard try stored.readForward(from: start, { try opened.open($0) }, body) else { return }
        }
        for number in blockIndex(of: start)..<max(blocks.count, blockIndex(of: start)) {
            let block = try open(number)
            for index in block.position(of: start)..<block.count {
                guard try body(block.bytes(index)) else { return }
            }
        }
        for index in tail.position(of: start)..<tail.count {
            guard try body(tail.bytes(tail[index])) else { return }
        }
    }

    private func readBackward(before end: Timestamp?, _ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
        for index in (0..<(end.map { tail.position(of: $0) } ?? tail.count)).reversed() {
            guard try body(tail.bytes(tail[index])) else { return }
        }
        for number in blocks.indices.reversed() {
            if let end, blocks[number].first.timestamp >= end { continue }
            let block = try open(number)
            for index in (0..<(end.map { block.position(of: $0) } ?? block.count)).reversed() {
                guard try body(block.bytes(index)) else { return }
            }
        }
        try stored.readBackward(before: end, { try opened.open($0) }, body)
    }

    /// The first block that ends at or behind `timestamp`; `blocks.count` when none does.
    private func blockIndex(of timestamp: Timestamp) -> Int {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].last.timestamp < timestamp { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func open(_ number: Int) throws -> OpenedLogBlock { try opened.open(blocks[number]) }
}

extension Timestamp {
    /// The next one; nil behind the last.
    var next: Timestamp? { rawValue == .max ? nil : Timestamp(rawValue: rawValue + 1) }
}
