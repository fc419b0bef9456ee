public import BSON
public import Core

extension Oplog {
    /// Whether the log holds this very entry: same time and same term.
    public func contains(_ optime: OpTime) throws -> Bool { try self.optime(at: optime.timestamp) == optime }

    /// The optime of the entry at `timestamp`.
    public func optime(at timestamp: Timestamp) throws -> OpTime? {
        let index = tail.position(of: timestamp)
        if index < tail.count, tail[index].optime.timestamp == timestamp { return tail[index].optime }
        let number = blockIndex(of: timestamp)
        guard number < blocks.count, blocks[number].first.timestamp <= timestamp else { return nil }
        let block = try open(number)
        let position = block.position(of: timestamp)
        return block.optimes[position].timestamp == timestamp ? block.optimes[position] : nil
    }

    /// Calls `body` with the entry at `timestamp`; false when there is none.
    public func entry(at timestamp: Timestamp, _ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        var isFound = false
        try read(from: timestamp, inclusive: true, direction: .forward, limitEntries: 1, limitBytes: .max) {
            guard DocumentView(base: $0.baseAddress!)["ts"]?.asTimestamp == timestamp else { return false }
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
        func take(_ entry: UnsafeRawBufferPointer) throws -> Bool {
            guard entriesLeft > 0, isFirst || entry.count <= bytesLeft else { return false }
            isFirst = false
            entriesLeft -= 1
            bytesLeft = max(bytesLeft - entry.count, 0)
            return try body(entry)
        }
        if direction == .forward {
            try readForward(from: timestamp, inclusive: inclusive, take)
        } else {
            try readBackward(from: timestamp, inclusive: inclusive, take)
        }
    }

    private func readForward(
        from timestamp: Timestamp, inclusive: Bool, _ take: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        guard let start = inclusive ? timestamp : timestamp.next else { return }
        for number in blockIndex(of: start)..<max(blocks.count, blockIndex(of: start)) {
            let block = try open(number)
            for index in block.position(of: start)..<block.count {
                guard try take(block.bytes(index)) else { return }
            }
        }
        for index in tail.position(of: start)..<tail.count {
            guard try take(tail.bytes(tail[index])) else { return }
        }
    }

    private func readBackward(
        from timestamp: Timestamp, inclusive: Bool, _ take: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        // Entries before `end`; without one, all.
        let end = inclusive ? timestamp.next : timestamp
        for index in (0..<(end.map { tail.position(of: $0) } ?? tail.count)).reversed() {
            guard try take(tail.bytes(tail[index])) else { return }
        }
        for number in blocks.indices.reversed() {
            if let end, blocks[number].first.timestamp >= end { continue }
            let block = try open(number)
            for index in (0..<(end.map { block.position(of: $0) } ?? block.count)).reversed() {
                guard try take(block.bytes(index)) else { return }
            }
        }
    }

    /// What a secondary is sent next: the entries behind `timestamp`. A sealed block goes as it is when the reader is
    /// at its beginning; otherwise a run of entries of about `limitBytes`, one at least. nil when there is none.
    public func nextFrame(after timestamp: Timestamp, limitBytes: Int, compress: Bool = false) throws -> OplogFrame? {
        guard let start = timestamp.next else { return nil }
        let number = blockIndex(of: start)
        guard number < blocks.count else {
            return try tailFrame(from: start, limitBytes: limitBytes, compress: compress)
        }
        let block = blocks[number]
        let before = number > 0 ? blocks[number - 1].last : lastDropped
        if block.first.timestamp >= start {
            return OplogFrame(
                bytes: block.frame, first: block.first, last: block.last, previous: before, count: block.count)
        }
        let content = try open(number)
        let index = content.position(of: start)
        let run = content.run(from: index, bytesMax: limitBytes)
        return OplogFrame(
            bytes: try Frame.seal(run.bytes, count: run.count, compress: compress), first: content.optimes[index],
            last: content.optimes[index + run.count - 1], previous: content.optimes[index - 1], count: run.count)
    }

    private func tailFrame(from start: Timestamp, limitBytes: Int, compress: Bool) throws -> OplogFrame? {
        let index = tail.position(of: start)
        guard index < tail.count else { return nil }
        let run = tail.run(from: index, before: tail.count, bytesMax: limitBytes)
        let previous = index > 0 ? tail[index - 1].optime : blocks.last?.last ?? lastDropped
        return OplogFrame(
            bytes: try Frame.seal(run.bytes, count: run.count, compress: compress), first: tail[index].optime,
            last: tail[index + run.count - 1].optime, previous: previous, count: run.count)
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

    private func open(_ number: Int) throws -> OpenedBlock {
        let first = blocks[number].first.timestamp
        if let index = opened.lastIndex(where: { $0.first == first }) {
            let block = opened.remove(at: index)
            opened.append(block)
            return block
        }
        let block = try OpenedBlock(blocks[number])
        if opened.count >= Limits.oplogOpenBlocksMax { opened.removeFirst() }
        opened.append(block)
        return block
    }
}

extension Timestamp {
    /// The next one; nil behind the last.
    fileprivate var next: Timestamp? { rawValue == .max ? nil : Timestamp(rawValue: rawValue + 1) }
}
