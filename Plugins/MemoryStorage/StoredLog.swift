import BSON
import Core

/// The front of an oplog, which is in files and not in memory: whole segments, and what was read of them last.
///
/// What is not in memory is missed (`StorageNotResident`), and read on a helper thread (`prefetch`) with what lies
/// behind it, or before it where it was missed on the way back.
final class StoredLog {
    private(set) var segments: [StoredLogSegment] = []
    private(set) var count = 0
    private(set) var byteCount = 0
    private(set) var storedBytes = 0
    /// nil: nothing of the log is in files.
    var files: (any LogSegmentReading)?
    /// Whether what is missing is read at once: somebody looks who is no part of what is looked at.
    var readsNow: () -> Bool = { false }

    private var indexes: [UInt64: [StoredLogFrame]] = [:]
    private var indexOrder: [UInt64] = []
    private var cache = LogFrameCache()
    private var misses = LogMisses()
    /// Files are others since, perhaps, though they are called the same.
    private var generation = 0

    var isEmpty: Bool { segments.isEmpty }
    var first: OpTime? { segments.first?.first }
    var last: OpTime? { segments.last?.last }

    // MARK: Changing

    /// Adds a segment behind the others, or puts the last one's longer self into its place.
    func append(_ segment: StoredLogSegment) {
        if let last = segments.last, last.number == segment.number {
            removeLast()
            forgetIndex(segment.number)
        }
        segments.append(segment)
        count += segment.count
        byteCount += segment.rawBytes
        storedBytes += segment.bytes
    }

    private func uncount(_ segment: StoredLogSegment) {
        count -= segment.count
        byteCount -= segment.rawBytes
        storedBytes -= segment.bytes
    }

    func removeFirst(through timestamp: Timestamp) {
        let gone = segments.prefix { $0.last.timestamp <= timestamp }
        for segment in gone {
            uncount(segment)
            forget(segment)
        }
        segments.removeFirst(gone.count)
    }

    func removeLast() {
        if let segment = segments.popLast() { uncount(segment) }
    }

    func removeAll() {
        for segment in segments { forget(segment) }
        segments.removeAll()
        (count, byteCount, storedBytes) = (0, 0, 0)
        generation += 1
    }

    /// What is known of segments from there on may be wrong soon.
    func forget(from index: Int) {
        for segment in segments[index...] { forget(segment) }
        generation += 1
    }

    private func forget(_ segment: StoredLogSegment) {
        forgetIndex(segment.number)
        cache.removeAll(of: segment.number)
    }

    private func forgetIndex(_ number: UInt64) {
        guard indexes.removeValue(forKey: number) != nil else { return }
        indexOrder.removeAll { $0 == number }
    }

    /// The blocks of a segment, read at once.
    func blocks(of segment: StoredLogSegment) throws -> [LogBlock] {
        guard let files else { throw InvariantViolation("a part of the oplog is in files that nobody reads") }
        let frames = try files.frames(of: segment)
        let visible = frames.drop { $0.last < segment.first }
        return zip(visible, try files.read(visible, of: segment)).map { $0.block($1) }
    }

    // MARK: Finding

    /// The first segment that ends at or behind `timestamp`; `segments.count` when none does.
    func index(of timestamp: Timestamp) -> Int { segments.firstIndex(since: timestamp, end: \.last) }

    private func frames(_ index: Int, for timestamp: Timestamp, _ direction: ScanDirection) throws -> [StoredLogFrame] {
        let segment = segments[index]
        if let frames = indexes[segment.number] { return frames }
        guard readsNow(), let files else { throw misses.note(timestamp, direction) }
        let frames = try files.frames(of: segment)
        keep(frames, of: segment)
        return frames
    }

    private func keep(_ frames: [StoredLogFrame], of segment: StoredLogSegment) {
        forgetIndex(segment.number)
        if indexOrder.count >= Limits.oplogSegmentIndexesMax { indexes[indexOrder.removeFirst()] = nil }
        indexes[segment.number] = frames
        indexOrder.append(segment.number)
    }

    private func block(_ segment: StoredLogSegment, _ frame: StoredLogFrame, _ direction: ScanDirection) throws
        -> LogBlock
    {
        if let block = cache.find(.init(segment: segment.number, offset: frame.offset)) { return block }
        guard readsNow(), let files else {
            throw misses.note(max(frame.first, segment.first).timestamp, direction)
        }
        return frame.block(try files.read([frame][...], of: segment)[0])
    }

    // MARK: Reading

    func optime(at timestamp: Timestamp, _ open: (LogBlock) throws -> OpenedLogBlock) throws -> OpTime? {
        let index = index(of: timestamp)
        guard index < segments.count, segments[index].first.timestamp <= timestamp else { return nil }
        let segment = segments[index]
        for end in [segment.first, segment.last] where end.timestamp == timestamp { return end }
        let frames = try frames(index, for: timestamp, .forward)
        let place = frames.firstIndex(since: timestamp, end: \.last)
        guard place < frames.count, frames[place].first.timestamp <= timestamp else { return nil }
        for end in [frames[place].first, frames[place].last] where end.timestamp == timestamp { return end }
        let block = try open(block(segment, frames[place], .forward))
        let position = block.position(of: timestamp)
        return block.optimes[position].timestamp == timestamp ? block.optimes[position] : nil
    }

    /// The frame that begins with the next entry at or behind `start`, if it is in memory.
    func sealedPiece(from start: Timestamp) -> LogBlock? {
        let index = index(of: start)
        guard index < segments.count, let frames = indexes[segments[index].number] else { return nil }
        let place = frames.firstIndex(since: max(start, segments[index].first.timestamp), end: \.last)
        guard place < frames.count, frames[place].first.timestamp >= start,
            frames[place].first >= segments[index].first
        else { return nil }
        return cache.find(.init(segment: segments[index].number, offset: frames[place].offset))
    }

    /// Returns false when `body` did.
    func readForward(
        from start: Timestamp, _ open: (LogBlock) throws -> OpenedLogBlock,
        _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws -> Bool {
        for index in index(of: start)..<max(segments.count, index(of: start)) {
            let segment = segments[index]
            let start = max(start, segment.first.timestamp)
            let frames = try frames(index, for: start, .forward)
            for frame in frames[frames.firstIndex(since: start, end: \.last)...] {
                let block = try open(block(segment, frame, .forward))
                for entry in block.position(of: start)..<block.count {
                    guard try body(block.bytes(entry)) else { return false }
                }
            }
        }
        return true
    }

    func readBackward(
        before end: Timestamp?, _ open: (LogBlock) throws -> OpenedLogBlock,
        _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        for index in segments.indices.reversed() {
            let segment = segments[index]
            if let end, segment.first.timestamp >= end { continue }
            // The last that is wanted of this one.
            let wanted = min(end.map { Timestamp(rawValue: $0.rawValue - 1) } ?? .max, segment.last.timestamp)
            let frames = try frames(index, for: wanted, .backward)
            for frame in frames.reversed() where frame.first.timestamp <= wanted {
                guard frame.last >= segment.first else { break }
                let block = try open(block(segment, frame, .backward))
                let visible = block.position(of: segment.first.timestamp)
                let behind = end.map { block.position(of: $0) } ?? block.count
                for entry in (visible..<max(visible, behind)).reversed() {
                    guard try body(block.bytes(entry)) else { return }
                }
            }
        }
    }
}

// MARK: Prefetching

extension StoredLog {
    /// Reads what was missed at `timestamp`, if it is still there and not in memory.
    func prefetch(_ timestamp: Timestamp, _ runtime: any NodeRuntime) async throws {
        for direction in misses.take(timestamp) {
            let index = index(of: timestamp)
            guard let files, index < segments.count else { return }
            let segment = segments[index]
            let (known, before) = (indexes[segment.number], generation)
            let cached = Set(
                (known ?? []).filter { cache.contains(.init(segment: segment.number, offset: $0.offset)) }
                    .map(\.offset))
            let found: (all: [StoredLogFrame], read: ArraySlice<StoredLogFrame>, frames: [[UInt8]])
            do {
                found = try await runtime.onHelper {
                    let all = try known ?? files.frames(of: segment)
                    let wanted = all.stretch(around: timestamp, direction) { cached.contains($0.offset) }
                    return (all, wanted, try files.read(wanted, of: segment))
                }
            } catch {
                // It was dropped in front meanwhile, and its file is gone: it is not missed any more.
                guard generation == before, segments.contains(where: { $0.number == segment.number }) else { continue }
                throw error
            }
            guard generation == before, let now = segments.first(where: { $0.number == segment.number }) else {
                continue
            }
            if now.bytes == segment.bytes { keep(found.all, of: segment) }
            cache.insert(
                zip(found.read, found.frames).map {
                    (.init(segment: segment.number, offset: $0.offset), $0.block($1))
                }, now: runtime.now)
        }
    }
}

extension [StoredLogFrame] {
    /// The frame that is wanted at `timestamp`, and those next to it in `direction` that are not there yet, about
    /// `Limits.oplogReadAheadBytes`.
    fileprivate func stretch(
        around timestamp: Timestamp, _ direction: ScanDirection, _ isThere: (StoredLogFrame) -> Bool
    ) -> ArraySlice<StoredLogFrame> {
        var start = firstIndex(since: timestamp, end: \.last)
        // On the way back it is the one before a gap.
        if direction == .backward, start == count || self[start].first.timestamp > timestamp { start -= 1 }
        guard indices.contains(start) else { return [] }
        var (first, end, bytes) = (start, start + 1, self[start].length)
        while direction == .forward ? end < count : first > 0 {
            let next = self[direction == .forward ? end : first - 1]
            guard bytes + next.length <= Limits.oplogReadAheadBytes, !isThere(next) else { break }
            bytes += next.length
            if direction == .forward { end += 1 } else { first -= 1 }
        }
        return self[first..<end]
    }
}

/// Which way they went who have missed something: a prefetch is asked for by key alone.
private struct LogMisses {
    private var directions: [Timestamp: Set<ScanDirection>] = [:]
    private var order: [Timestamp] = []

    mutating func note(_ timestamp: Timestamp, _ direction: ScanDirection) -> StorageNotResident {
        if directions[timestamp] == nil {
            if order.count >= Limits.storageMissesNotedMax { directions[order.removeFirst()] = nil }
            order.append(timestamp)
        }
        directions[timestamp, default: []].insert(direction)
        return withUnsafeBytes(of: timestamp.rawValue.bigEndian) { StorageNotResident(.oplog, $0) }
    }

    /// Both when it is not known any more.
    mutating func take(_ timestamp: Timestamp) -> [ScanDirection] {
        let noted = directions.removeValue(forKey: timestamp) ?? [.forward, .backward]
        order.removeAll { $0 == timestamp }
        return [.forward, .backward].filter(noted.contains)
    }
}

extension Array {
    /// The first element that ends at or behind `timestamp`, of some that follow on one another; `count` when none
    /// does.
    func firstIndex(since timestamp: Timestamp, end: KeyPath<Element, OpTime>) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle][keyPath: end].timestamp < timestamp { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
