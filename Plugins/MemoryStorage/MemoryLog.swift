import BSON
import Core

/// The oplog in memory: an uncompressed tail, which holds at least everything above the commit point, and in front of
/// it sealed blocks of about 64 KB, compressed and checksummed.
///
/// A batch seals at most one block.
final class MemoryLog: StorageLog {
    private(set) var blocks: [LogBlock] = []
    private var tail = LogTail()
    /// Entries of the tail, from its first, that the commit point has passed.
    private var sealableCount = 0
    private var commitPoint = Timestamp.zero
    private var sealedFrameBytes = 0
    private var sealedEntryBytes = 0
    private var sealedCount = 0
    /// Opened blocks, the one used last at the end.
    private var opened: [OpenedLogBlock] = []
    /// Uncompressed bytes of a sealed block: less than usual where the whole log has room for few.
    private var blockBytes = Limits.oplogBlockBytes

    deinit { tail.removeAll() }

    var first: OpTime? { blocks.first?.first ?? tail.first?.optime }
    var last: OpTime? { tail.last?.optime ?? blocks.last?.last }
    var count: Int { sealedCount + tail.count }
    var byteCount: Int { sealedEntryBytes + tail.byteCount }
    var storedBytes: Int { sealedFrameBytes + tail.byteCount }
    var openBytes: Int { tail.byteCount - tail.byteCount(ofFirst: sealableCount) }

    func expect(bytesMax: Int) { blockBytes = max(1024, min(Limits.oplogBlockBytes, bytesMax / 4)) }

    func setCommitPoint(_ timestamp: Timestamp) {
        guard timestamp > commitPoint else { return }
        commitPoint = timestamp
        sealableCount = timestamp.next.map { tail.position(of: $0) } ?? tail.count
    }

    // MARK: Changing

    /// Looks at what a batch will do before any of it is done.
    func check(_ batch: WriteBatch) throws {
        var last = last
        if batch.truncatesThrough == .max { last = nil }
        if let after = batch.truncatesAfter {
            try invariant(
                after >= commitPoint, "the oplog is truncated behind \(after), below the commit point \(commitPoint)")
            last = nil
            // Opened now, while it can still be refused.
            for number in blocks.indices.reversed() where blocks[number].last.timestamp > after { _ = try open(number) }
        }
        try batch.checkEntries(behind: last)
    }

    /// Does what `check` has found in order.
    func apply(_ batch: WriteBatch) {
        if let through = batch.truncatesThrough { removeFirst(through: through) }
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
        sealedFrameBytes += frame.count
        sealedEntryBytes += block.byteCount
        sealedCount += block.count
    }

    /// A block is no longer part of the log.
    private func forget(_ block: LogBlock) {
        sealedFrameBytes -= block.frame.count
        sealedEntryBytes -= block.byteCount
        sealedCount -= block.count
        opened.removeAll { $0.first == block.first.timestamp }
    }

    private func removeFirst(through timestamp: Timestamp) {
        if timestamp == .max { return removeAll() }
        while let block = blocks.first, block.last.timestamp <= timestamp {
            blocks.removeFirst()
            forget(block)
        }
    }

    func removeAll() {
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
        sealedFrameBytes += block.frame.count
        sealedEntryBytes += block.byteCount
        sealedCount += block.count
    }

    // MARK: Reading

    func frontPiece(_ index: Int) -> (last: OpTime, storedBytes: Int)? {
        guard index < blocks.count else { return nil }
        return (blocks[index].last, blocks[index].frame.count)
    }

    func sealedPiece(behind timestamp: Timestamp) -> SealedLogPiece? {
        guard let start = timestamp.next else { return nil }
        let number = blockIndex(of: start)
        guard number < blocks.count, blocks[number].first.timestamp >= start else { return nil }
        let block = blocks[number]
        return SealedLogPiece(frame: block.frame, first: block.first, last: block.last, count: block.count)
    }

    func optime(at timestamp: Timestamp) throws -> OpTime? {
        let index = tail.position(of: timestamp)
        if index < tail.count, tail[index].optime.timestamp == timestamp { return tail[index].optime }
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

    private func open(_ number: Int) throws -> OpenedLogBlock {
        let first = blocks[number].first.timestamp
        if let index = opened.lastIndex(where: { $0.first == first }) {
            let block = opened.remove(at: index)
            opened.append(block)
            return block
        }
        let block = try OpenedLogBlock(blocks[number])
        if opened.count >= Limits.oplogOpenBlocksMax { opened.removeFirst() }
        opened.append(block)
        return block
    }
}

extension Timestamp {
    /// The next one; nil behind the last.
    fileprivate var next: Timestamp? { rawValue == .max ? nil : Timestamp(rawValue: rawValue + 1) }
}
