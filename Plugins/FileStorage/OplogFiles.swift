import BSON
import Core

/// A file of frames of oplog entries.
struct OplogSegment: Sendable, Equatable {
    var number: UInt64
    /// Bytes that are valid.
    var bytes: Int
    /// Timestamps of the first and the last entry in it.
    var first: Timestamp
    var last: Timestamp
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
    private(set) var state: OplogState
    private var file: (any DiskFile)?
    private var isDirty = false
    /// Whether the last segment may be written on.
    private var mayAppend = true
    private let pending = ByteBuffer(capacity: Limits.oplogBlockBytes * 2)
    private var pendingCount = 0
    private var pendingFirst = Timestamp.zero
    private var pendingLast = Timestamp.zero

    init(_ disk: any Disk, _ layout: FileLayout, _ state: OplogState, _ mutants: Mutants) {
        self.mutants = mutants
        self.disk = disk
        self.layout = layout
        self.state = state
    }

    func take(_ batch: WriteBatch) throws {
        if let through = batch.truncatesThrough { drop(through: through) }
        if let after = batch.truncatesAfter { try truncate(after: after) }
        try batch.forEachEntry { optime, entry in try append(entry, optime.timestamp) }
    }

    private func append(_ entry: UnsafeRawBufferPointer, _ timestamp: Timestamp) throws {
        if pendingCount > 0, pending.count + entry.count > Limits.oplogBlockBytes { try seal() }
        if pendingCount == 0 { pendingFirst = timestamp }
        pending.append(entry)
        pendingCount += 1
        pendingLast = timestamp
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
        var rest: [(Timestamp, [UInt8])] = []
        while let frame = try reader.next() {
            let entries = try OplogReader.entries(frame)
            guard let end = entries.last else { continue }
            if end.0 <= timestamp {
                kept.bytes = reader.position
                kept.last = end.0
            } else {
                rest = entries.filter { $0.0 <= timestamp }
                break
            }
        }
        state.segments.removeLast()
        if kept.bytes > 0 { state.segments.append(kept) }
        for (timestamp, entry) in rest { try entry.withUnsafeBytes { try append($0, timestamp) } }
    }

    /// Writes what is pending as a frame.
    private func seal() throws {
        guard pendingCount > 0 else { return }
        let frame = try LogFrame.seal(pending.bytes, count: pendingCount, compress: true)
        if !mayAppend || state.segments.last.map({ $0.bytes >= Limits.oplogSegmentBytes }) ?? true {
            try leaveSegment()
            mayAppend = true
            state.segments.append(
                OplogSegment(number: state.nextSegment, bytes: 0, first: pendingFirst, last: pendingLast))
            state.nextSegment += 1
        }
        let index = state.segments.count - 1
        let opened = try file ?? disk.open(layout.oplogSegment(state.segments[index].number), create: true)
        file = opened
        let place = state.segments[index].bytes
        try frame.withUnsafeBytes { try opened.write($0, at: place) }
        isDirty = true
        state.segments[index].bytes += frame.count
        state.segments[index].last = pendingLast
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

/// Reads the frames of a segment. On helper threads.
final class OplogReader {
    private let file: any DiskFile
    private let segment: OplogSegment
    private(set) var position = 0

    init(_ disk: any Disk, _ layout: FileLayout, _ segment: OplogSegment) throws {
        let path = layout.oplogSegment(segment.number)
        guard let file = try disk.openExisting(path) else {
            throw StorageDamage(path, offset: 0, "the file is missing")
        }
        self.file = file
        self.segment = segment
    }

    /// The next frame as it is stored; nil at the end.
    func next() throws -> [UInt8]? {
        guard position < segment.bytes else { return nil }
        var header = [UInt8](repeating: 0, count: LogFrame.headerBytes)
        let got = try header.withUnsafeMutableBytes { try file.read(into: $0, at: position) }
        guard got == header.count, let length = header.withUnsafeBytes({ LogFrame.byteCount($0) }),
            length <= segment.bytes - position
        else { throw StorageDamage(file.path, offset: position, "no frame of entries begins there") }
        var frame = [UInt8](repeating: 0, count: length)
        let count = try frame.withUnsafeMutableBytes { try file.read(into: $0, at: position) }
        guard count == length else { throw StorageDamage(file.path, offset: position, "the file is too short") }
        do { try frame.withUnsafeBytes { try LogFrame.check($0) } } catch {
            throw StorageDamage(file.path, offset: position, "\(error)")
        }
        position += length
        return frame
    }

    /// The entries of a frame with their timestamps.
    static func entries(_ frame: [UInt8]) throws -> [(Timestamp, [UInt8])] {
        let opened = try frame.withUnsafeBytes { try LogFrame.open($0) }
        defer { opened.content.deallocate() }
        let content = UnsafeRawBufferPointer(opened.content)
        var entries: [(Timestamp, [UInt8])] = []
        var at = 0
        while content.count - at >= 5 {
            let length = Int(UInt32(littleEndian: content.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            guard length >= 5, length <= content.count - at,
                let optime = OpTime(DocumentView(base: content.baseAddress! + at))
            else { throw InvariantViolation("a frame of the oplog does not hold whole entries") }
            entries.append((optime.timestamp, [UInt8](content[at..<(at + length)])))
            at += length
        }
        return entries
    }
}
