import BSON
import Core
import MemoryStorage

/// A file of frames of oplog entries.
struct OplogSegment: Sendable, Equatable {
    var number: UInt64
    /// Bytes that are valid.
    var bytes: Int
    /// Timestamps of the first and the last entry in it.
    var first: Timestamp
    var last: Timestamp
    /// nil where an earlier version wrote it.
    var content: Content?

    /// What else there is to know of the entries without reading them.
    struct Content: Sendable, Equatable {
        var firstTerm: Int64
        var lastTerm: Int64
        var count: Int
        /// Their bytes, uncompressed.
        var rawBytes: Int
    }

    /// As the log in memory knows it; nil when too little is known.
    var stored: StoredLogSegment? {
        content.map {
            StoredLogSegment(
                number: number, bytes: bytes, first: OpTime(term: $0.firstTerm, timestamp: first),
                last: OpTime(term: $0.lastTerm, timestamp: last), count: $0.count, rawBytes: $0.rawBytes)
        }
    }

    /// A frame was written behind what is there.
    mutating func add(_ frame: Content, last: Timestamp, bytes: Int) {
        if self.bytes == 0 {
            content = frame
        } else if var content {
            content.lastTerm = frame.lastTerm
            content.count += frame.count
            content.rawBytes += frame.rawBytes
            self.content = content
        }
        self.last = last
        self.bytes += bytes
    }
}

/// Which files hold the oplog, up to a checkpoint.
struct OplogState: Sendable, Equatable {
    /// Oldest first.
    var segments: [OplogSegment] = []
    var nextSegment: UInt64 = 1
    /// Entries up to this one are no part of the log any more.
    var droppedThrough = Timestamp.zero
}

/// Writes what a journal says of the oplog into segments. On helper threads.
///
/// Segments are derived from the journal: nothing of them that a manifest names is ever written over. What a rollback
/// takes back is cut off by the next manifest, and the log goes on in another file.
final class OplogWriter {
    private let disk: any Disk
    private let layout: FileLayout
    private let mutants: Mutants
    private let segmentBytes: Int
    private(set) var state: OplogState
    private var file: (any DiskFile)?
    private var isDirty = false
    /// Whether the last segment may be written on.
    private var mayAppend = true
    private let pending = ByteBuffer(capacity: Limits.oplogBlockBytes * 2)
    private var pendingCount = 0
    private var pendingFirst = OpTime.null
    private var pendingLast = OpTime.null

    init(_ disk: any Disk, _ layout: FileLayout, _ state: OplogState, _ settings: FileSettings) {
        mutants = settings.mutants
        segmentBytes = settings.oplogSegmentBytes
        self.disk = disk
        self.layout = layout
        self.state = state
    }

    func take(_ batch: WriteBatch) throws {
        if let through = batch.truncatesThrough { drop(through: through) }
        if let after = batch.truncatesAfter { try truncate(after: after) }
        try batch.forEachEntry { optime, entry in try append(entry, optime) }
    }

    private func append(_ entry: UnsafeRawBufferPointer, _ optime: OpTime) throws {
        if pendingCount > 0, pending.count + entry.count > Limits.oplogBlockBytes { try seal() }
        if pendingCount == 0 { pendingFirst = optime }
        pending.append(entry)
        pendingCount += 1
        pendingLast = optime
    }

    private func drop(through timestamp: Timestamp) {
        if timestamp == .max {
            pending.removeAll()
            pendingCount = 0
            state.segments = []
            state.droppedThrough = .zero
        } else {
            state.droppedThrough = max(state.droppedThrough, timestamp)
            while let first = state.segments.first, first.last <= timestamp { state.segments.removeFirst() }
        }
        if state.segments.isEmpty { (file, isDirty, mayAppend) = (nil, false, false) }
    }

    /// The last segment is not written on: something else follows it.
    private func leaveSegment() throws {
        try sync()
        file = nil
        mayAppend = false
    }

    private func truncate(after timestamp: Timestamp) throws {
        try seal()
        guard state.segments.last.map({ $0.last > timestamp }) ?? false else { return }
        try leaveSegment()
        while let last = state.segments.last, last.first > timestamp { state.segments.removeLast() }
        guard let last = state.segments.last, last.last > timestamp else { return }
        // The frame that the cut goes through is written again as far as it holds.
        let reader = try OplogReader(disk, layout, last)
        var kept = OplogSegment(number: last.number, bytes: 0, first: last.first, last: last.first)
        var rest: [(OpTime, [UInt8])] = []
        while let frame = try reader.next() {
            let entries = try OplogReader.entries(frame)
            guard let (start, _) = entries.first, let (end, _) = entries.last else { continue }
            if end.timestamp <= timestamp {
                let content = OplogSegment.Content(
                    firstTerm: start.term, lastTerm: end.term, count: entries.count,
                    rawBytes: entries.reduce(0) { $0 + $1.1.count })
                kept.add(content, last: end.timestamp, bytes: frame.count)
            } else {
                rest = entries.filter { $0.0.timestamp <= timestamp }
                break
            }
        }
        state.segments.removeLast()
        if kept.bytes > 0 { state.segments.append(kept) }
        for (optime, entry) in rest { try entry.withUnsafeBytes { try append($0, optime) } }
    }

    /// Writes what is pending as a frame.
    private func seal() throws {
        guard pendingCount > 0 else { return }
        let frame = try LogFrame.seal(pending.bytes, count: pendingCount, compress: true)
        if !mayAppend || state.segments.last.map({ $0.bytes >= segmentBytes }) ?? true {
            try leaveSegment()
            mayAppend = true
            state.segments.append(
                OplogSegment(
                    number: state.nextSegment, bytes: 0, first: pendingFirst.timestamp, last: pendingLast.timestamp))
            state.nextSegment += 1
        }
        let index = state.segments.count - 1
        let opened = try file ?? disk.open(layout.oplogSegment(state.segments[index].number), create: true)
        file = opened
        let place = state.segments[index].bytes
        try frame.withUnsafeBytes { try opened.write($0, at: place) }
        isDirty = true
        let content = OplogSegment.Content(
            firstTerm: pendingFirst.term, lastTerm: pendingLast.term, count: pendingCount, rawBytes: pending.count)
        state.segments[index].add(content, last: pendingLast.timestamp, bytes: frame.count)
        pending.removeAll(keeping: 1 << 20)
        pendingCount = 0
    }

    private func sync() throws {
        if isDirty, !mutants.isActive(.oplogNotSynced) { try file?.sync() }
        isDirty = false
    }

    /// Makes everything durable, but for the names of files.
    func end() throws -> OplogState {
        try seal()
        try sync()
        return state
    }
}
