import BSON
import Core

/// Reads a journal's frames in order, from a place on. On helper threads.
final class JournalReader {
    private let disk: any Disk
    private let layout: FileLayout
    private let store: UInt64
    private let epoch: UInt64
    private let mutants: Mutants
    private(set) var position: JournalPosition
    private var segment: JournalFormat.Segment
    private var file: (any DiskFile)?
    /// Number of the batch that comes next.
    private(set) var next: UInt64
    /// Checksum of the last frame that was read.
    private(set) var previous: UInt64?

    /// A window of the segment, and where it begins.
    private let window = ByteBuffer(capacity: 1 << 20)
    private var windowStart = 0

    /// - Parameter next: the number of the first batch behind the position.
    init(
        _ disk: any Disk, _ layout: FileLayout, store: UInt64, epoch: UInt64, from position: JournalPosition,
        next: UInt64, mutants: Mutants
    ) {
        self.disk = disk
        self.layout = layout
        self.store = store
        self.epoch = epoch
        self.mutants = mutants
        self.position = position
        self.next = next
        segment = JournalFormat.Segment(number: position.segment, epoch: epoch, store: store)
    }

    /// Appends the batches of the next frame, whose number of batches it returns. nil at the end of what was written
    /// without a fault.
    /// - Throws: `StorageDamage` when something that was durable cannot be read any more.
    func nextFrame(into buffer: ByteBuffer) throws -> (first: UInt64, count: UInt32)? {
        while true {
            if file == nil {
                guard let opened = try openSegment(position.segment) else { return nil }
                file = opened
            }
            guard let frame = try frame(at: position.offset), frame.first == next,
                previous.map({ frame.previous == $0 }) ?? true
            else {
                guard try goOn() else { return nil }
                continue
            }
            let bytes = try bytes(at: position.offset, count: frame.byteCount)
            guard JournalFormat.open(frame, bytes, to: buffer) else {
                throw StorageDamage(
                    layout.segment(position.segment), offset: position.offset, "a frame cannot be decompressed")
            }
            position.offset += frame.byteCount
            previous = frame.checksum
            next = frame.next
            if frame.count > 0 { return (frame.first, frame.count) }
        }
    }

    // MARK: The end of a segment

    /// There is no frame: whether the next segment goes on from here.
    private func goOn() throws -> Bool {
        let lost = position
        try lookForWitness(from: position.offset + 8)
        guard let following = try openSegment(position.segment &+ 1) else { return false }
        file = following
        position = JournalPosition(segment: position.segment &+ 1, offset: JournalFormat.headerBytes)
        previous = 0
        if let frame = try frame(at: position.offset) {
            // A segment is begun when the one before is durable to its end.
            if frame.first == next { return true }
            throw StorageDamage(
                layout.segment(lost.segment), offset: lost.offset,
                "frames are missing: batch \(next) should follow, and the next file begins with \(frame.first)")
        }
        try lookForWitness(from: position.offset + 8)
        return false
    }

    /// A later frame that was written when this one was synced: then the one that cannot be read was durable.
    private func lookForWitness(from start: Int) throws {
        guard let size = try file?.size(), !mutants.isActive(.witnessIgnored) else { return }
        var offset = (start + 7) & ~7
        while offset + JournalFormat.frameHeaderBytes <= size {
            let count = min(1 << 20, size - offset)
            var chunk = try bytes(at: offset, count: count)
            var at = 0
            while at + JournalFormat.frameHeaderBytes <= chunk.count {
                if JournalFormat.mayBeFrame(chunk, at) {
                    if let frame = try frame(at: offset + at), frame.synced >= next,
                        frame.first > next || frame.count == 0 && frame.first >= next
                    {
                        throw StorageDamage(
                            layout.segment(position.segment), offset: position.offset,
                            "batch \(next) was durable and cannot be read; a later frame says so")
                    }
                    // Looking may have moved the window.
                    chunk = try bytes(at: offset, count: count)
                }
                at += 8
            }
            guard at > 0 else { return }
            offset += at
        }
    }

    private func openSegment(_ number: UInt64) throws -> (any DiskFile)? {
        let path = layout.segment(number)
        guard let opened = try disk.openExisting(path) else { return nil }
        window.removeAll(keeping: 1 << 20)
        let header = UnsafeMutableRawBufferPointer.allocate(byteCount: JournalFormat.headerBytes, alignment: 8)
        defer { header.deallocate() }
        guard try opened.read(into: header, at: 0) == header.count,
            let found = try JournalFormat.readHeader(UnsafeRawBufferPointer(header), of: path)
        else { return nil }
        guard found.store == store else {
            throw StorageDamage("\(path) is part of another data directory's journal: it was put here by mistake")
        }
        segment = JournalFormat.Segment(number: number, epoch: epoch, store: store)
        return found == segment ? opened : nil
    }

    // MARK: Bytes

    private func frame(at offset: Int) throws -> JournalFormat.Frame? {
        let header = try bytes(at: offset, count: JournalFormat.frameHeaderBytes)
        // No more is read than there is, whatever the header says.
        guard let length = JournalFormat.frameBytes(header), let file, offset + length <= (try file.size()) else {
            return nil
        }
        return JournalFormat.readFrame(
            try bytes(at: offset, count: length), in: segment, checks: !mutants.isActive(.frameNotChecked))
    }

    /// Bytes of the segment; fewer when it ends before.
    private func bytes(at offset: Int, count: Int) throws(DiskError) -> UnsafeRawBufferPointer {
        guard let file else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        if offset < windowStart || offset + count > windowStart + window.count {
            window.removeAll(keeping: 8 << 20)
            windowStart = offset
            let wanted = max(count, 1 << 20)
            let room = UnsafeMutableRawBufferPointer(start: window.extend(by: wanted), count: wanted)
            let got = try file.read(into: room, at: offset)
            window.truncate(to: got)
        }
        let start = offset - windowStart
        let end = min(start + count, window.count)
        return start < end
            ? UnsafeRawBufferPointer(rebasing: window.bytes[start..<end]) : UnsafeRawBufferPointer(start: nil, count: 0)
    }
}
