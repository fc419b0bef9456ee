import BSON
import Core

/// The end of a journal that writes: called on helper threads, by one job at a time.
final class JournalWriter: @unchecked Sendable {
    private let disk: any Disk
    private let layout: FileLayout
    private let store: UInt64
    private let epoch: UInt64
    private let segmentBytes: Int
    private let mutants: Mutants

    private var file: (any DiskFile)?
    private var segment: JournalFormat.Segment
    private var offset = 0
    private var room = 0
    /// Checksum of the last frame.
    private var previous: UInt64 = 0
    private var synced: UInt64
    private let frame = ByteBuffer(capacity: 64 * 1024)
    /// Files that can become segments.
    private var spares: [UInt64] = []
    private var lastSpare: UInt64 = 0

    struct Outcome: Sendable {
        /// Numbers of the segments that were begun.
        var begun: [UInt64] = []
        var bytes = 0
        /// Where the last frame ends.
        var end = JournalPosition(segment: 0, offset: 0)
        /// Whether there is a file for the next segment.
        var hasReserve = true
    }

    /// - Parameters:
    ///   - firstSegment: the number of the segment that will be begun.
    ///   - synced: the number of the last batch that is safe elsewhere.
    init(
        _ disk: any Disk, _ layout: FileLayout, store: UInt64, epoch: UInt64, firstSegment: UInt64, synced: UInt64,
        settings: FileSettings
    ) {
        self.disk = disk
        self.layout = layout
        self.store = store
        self.epoch = epoch
        segmentBytes = settings.segmentBytes
        mutants = settings.mutants
        self.synced = synced
        segment = JournalFormat.Segment(number: firstSegment &- 1, epoch: epoch, store: store)
    }

    /// Makes the first segment and one in reserve.
    func begin(spares numbers: [UInt64]) throws(DiskError) -> Outcome {
        spares = numbers
        lastSpare = numbers.max() ?? 0
        var outcome = Outcome()
        try beginSegment(bytes: segmentBytes, &outcome)
        do { try reserve() } catch  where error.kind == .full { outcome.hasReserve = false }
        outcome.end = JournalPosition(segment: segment.number, offset: offset)
        return outcome
    }

    /// Goes on in a segment that is there: the disk has no room for another one.
    func goOn(_ place: JournalContinuation, spares numbers: [UInt64]) throws(DiskError) -> Outcome {
        spares = numbers
        lastSpare = numbers.max() ?? 0
        segment = JournalFormat.Segment(number: place.end.segment, epoch: epoch, store: store)
        let opened = try disk.open(layout.segment(segment.number), create: false)
        (file, room, offset, previous) = (opened, try opened.size(), place.end.offset, place.checksum)
        var outcome = Outcome()
        outcome.begun = place.segments
        outcome.end = place.end
        do { try reserve() } catch  where error.kind == .full { outcome.hasReserve = false }
        return outcome
    }

    /// Writes one frame of batches, or a mark, and with `sync` makes everything written so far durable.
    /// - Parameter unused: numbers of segments that are not needed any more.
    func write(
        _ content: UnsafeRawBufferPointer, first: UInt64, count: UInt32, sync: Bool, unused: [UInt64]
    ) throws(DiskError) -> Outcome {
        var outcome = Outcome()
        try recycle(unused)
        frame.removeAll(keeping: 4 << 20)
        var checksum = append(content, first, count)
        if frame.count > room - offset {
            try beginSegment(
                bytes: max(segmentBytes, JournalFormat.headerBytes + frame.count), &outcome)
            // Its checksum names its place.
            frame.removeAll()
            checksum = append(content, first, count)
        }
        guard let file else { throw DiskError(.other, "writing to", layout.journal, "there is no segment") }
        try file.write(frame.bytes, at: offset)
        offset += frame.count
        previous = checksum
        outcome.bytes = frame.count
        outcome.end = JournalPosition(segment: segment.number, offset: offset)
        if sync {
            if !mutants.isActive(.frameNotSynced) { try file.sync() }
            if count > 0 { synced = first + UInt64(count) - 1 }
        }
        do { try reserve() } catch  where error.kind == .full { outcome.hasReserve = false }
        return outcome
    }

    /// Tries again to have a file for the next segment.
    func retryReserve(unused: [UInt64]) throws(DiskError) -> Bool {
        try recycle(unused)
        do { try reserve() } catch  where error.kind == .full { return false }
        return true
    }

    private func append(_ content: UnsafeRawBufferPointer, _ first: UInt64, _ count: UInt32) -> UInt64 {
        JournalFormat.appendFrame(
            of: content, first: first, count: count, synced: synced, previous: previous, in: segment, to: frame)
    }

    private func beginSegment(bytes: Int, _ outcome: inout Outcome) throws(DiskError) {
        // What the last segment holds is durable before anything stands behind it.
        try file?.sync()
        let next = JournalFormat.Segment(number: segment.number &+ 1, epoch: epoch, store: store)
        let path = layout.segment(next.number)
        if let spare = spares.last {
            try disk.rename(layout.spare(spare), to: path)
            spares.removeLast()
        }
        let opened = try disk.open(path, create: true)
        try opened.resize(to: max(bytes, try opened.size()))
        let header = ByteBuffer(capacity: JournalFormat.headerBytes)
        JournalFormat.appendHeader(next, to: header)
        try opened.write(header.bytes, at: 0)
        try opened.sync()
        try disk.syncDirectory(layout.journal)
        file = opened
        segment = next
        room = try opened.size()
        offset = JournalFormat.headerBytes
        previous = 0
        outcome.begun.append(next.number)
    }

    /// Room for the next segment is taken before it is needed: a disk that is full shows while there is still room for
    /// what a member must be able to write.
    private func reserve() throws(DiskError) {
        guard spares.isEmpty else { return }
        lastSpare += 1
        let path = layout.spare(lastSpare)
        do {
            let file = try disk.open(path, create: true)
            try file.resize(to: segmentBytes)
        } catch {
            try? disk.remove(path)
            throw error
        }
        spares.append(lastSpare)
    }

    private func recycle(_ numbers: [UInt64]) throws(DiskError) {
        for number in numbers {
            if spares.count >= Limits.journalSparesMax {
                try disk.remove(layout.segment(number))
            } else {
                lastSpare += 1
                try disk.rename(layout.segment(number), to: layout.spare(lastSpare))
                spares.append(lastSpare)
            }
        }
    }
}

/// Where a journal goes on that found no room to begin anew.
struct JournalContinuation: Sendable {
    /// Behind the last frame.
    let end: JournalPosition
    /// Of the last frame.
    let checksum: UInt64
    /// Numbers of the segments in use, oldest first.
    let segments: [UInt64]
}

/// A place in a journal.
struct JournalPosition: Sendable, Equatable {
    var segment: UInt64
    var offset: Int
}
