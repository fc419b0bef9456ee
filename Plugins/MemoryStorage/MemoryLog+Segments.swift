import BSON
import Core

/// Blocks in memory and segments in files that hold the same: which of the two are part of the log.
extension MemoryLog {
    /// Adds a segment in front of all that is in memory, before anything is.
    func begin(with segment: StoredLogSegment) throws {
        try invariant(
            blocks.isEmpty && stored.last.map { $0 < segment.first } ?? true,
            "the segments of an oplog are not in order")
        stored.append(segment)
    }

    /// Names the segments that are complete, oldest first: all of them. They hold what the log held, from its first
    /// entry on; nothing was truncated behind any of them since.
    func offer(_ segments: [StoredLogSegment]) {
        offered = segments.filter { $0.last > stored.last ?? .null }
        adopt()
    }

    /// Lets the oldest of the segments that are complete take the place of the blocks which hold the same, when there
    /// are too many of those.
    ///
    /// Only of what is committed, so that no rollback takes any of it back; and blocks must reach behind it, so that
    /// the newest entries are in memory.
    func adopt() {
        guard memoryBytes > memoryBytesMax, let next = offered.first, next.last.timestamp <= commitPoint,
            let first = blocks.first?.first, let last = blocks.last?.last, last > next.last
        else { return }
        if first > next.last {
            // It was dropped in front meanwhile.
            offered.removeFirst()
            return
        }
        // What is older than the oldest file goes in front first.
        guard next.first <= first else { return }
        do { try adopt(next) } catch {
            disagreement = error as? InvariantViolation ?? InvariantViolation("\(error)")
        }
    }

    private func adopt(_ segment: StoredLogSegment) throws {
        var number = blocks.firstIndex(since: segment.last.timestamp, end: \.last)
        // Whole blocks, and of the next one a part, perhaps.
        var (count, bytes) = (0, 0)
        for block in blocks[..<number] {
            count += block.count
            bytes += block.byteCount
        }
        let block = try open(number)
        let part = segment.last.timestamp.next.map { block.position(of: $0) } ?? block.count
        try invariant(
            part > 0 && block.optimes[part - 1] == segment.last, "segment \(segment.number) of the oplog ends elsewhere"
        )
        let taken = part == 0 ? 0 : block.bytes(0..<part).count
        count += part
        bytes += taken
        if blocks[0].first == segment.first, segment.count > 0 {
            try invariant(
                count == segment.count && bytes == segment.rawBytes,
                "segment \(segment.number) of the oplog holds \(segment.count) entries, and should hold \(count)")
        }
        var rest: [LogBlock] = []
        if mutants.isActive(.oplogSeamDoubled) {
            rest = [blocks[number]]
        } else if part < block.count, !mutants.isActive(.oplogSeamDropped) {
            let content = block.bytes(part..<block.count)
            let compress = content.count <= Limits.oplogCompressedBytesMax
            let frame = try LogFrame.seal(content, count: block.count - part, compress: compress)
            rest = [
                LogBlock(
                    frame: frame, first: block.optimes[part], last: block.optimes[block.count - 1],
                    count: block.count - part, byteCount: content.count)
            ]
        }
        number += 1
        var (first, before) = (blocks[0].first, 0)
        var rawBefore = 0
        if let longer = stored.segments.last, longer.number == segment.number {
            (first, before, rawBefore) = (longer.first, longer.count, longer.rawBytes)
        }
        replaceFirst(number, with: rest)
        stored.append(
            StoredLogSegment(
                number: segment.number, bytes: segment.bytes, first: first, last: segment.last, count: before + count,
                rawBytes: rawBefore + bytes))
        offered.removeFirst()
    }

    /// Puts what is at or behind `timestamp` back into memory: it is about to be truncated behind that. Only after a
    /// restart, which does not know what is committed, and when much is taken back.
    func putBack(from timestamp: Timestamp) throws {
        // Of what is left the newest entry has to be in memory, also when `timestamp` is none's.
        let isAllTaken = firstInMemory.map { $0.timestamp > timestamp } ?? true
        let index = stored.index(of: isAllTaken ? min(timestamp, stored.last?.timestamp ?? .zero) : timestamp)
        guard index < stored.segments.count else { return }
        // All is read before anything changes.
        let found = try stored.segments[index...].flatMap { try stored.blocks(of: $0) }
        stored.forget(from: index)
        while stored.segments.count > index { stored.removeLast() }
        replaceFirst(0, with: found)
    }
}
