import BSON
import Core
import MemoryStorage

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

    /// The entries of a frame with their optimes.
    static func entries(_ frame: [UInt8]) throws -> [(OpTime, [UInt8])] {
        let opened = try frame.withUnsafeBytes { try LogFrame.open($0) }
        defer { opened.content.deallocate() }
        let content = UnsafeRawBufferPointer(opened.content)
        var entries: [(OpTime, [UInt8])] = []
        var at = 0
        while content.count - at >= 5 {
            let length = Int(UInt32(littleEndian: content.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            guard length >= 5, length <= content.count - at,
                let optime = OpTime(DocumentView(base: content.baseAddress! + at))
            else { throw InvariantViolation("a frame of the oplog does not hold whole entries") }
            entries.append((optime, [UInt8](content[at..<(at + length)])))
            at += length
        }
        return entries
    }
}

/// Reads segments, or parts of them, of which the log in memory keeps no more than where they are.
struct OplogSegmentReader: LogSegmentReading {
    let disk: any Disk
    let layout: FileLayout

    /// What is in the file of a segment that is to stay there: nothing but that it is long enough.
    func find(_ segment: StoredLogSegment) throws {
        let path = layout.oplogSegment(segment.number)
        guard let file = try disk.openExisting(path) else {
            throw StorageDamage(path, offset: 0, "the file is missing")
        }
        let size = try file.size()
        guard size >= segment.bytes else {
            throw StorageDamage(path, offset: size, "the file is too short: it should have \(segment.bytes) bytes")
        }
    }

    func frames(of segment: StoredLogSegment) throws -> [StoredLogFrame] {
        let path = layout.oplogSegment(segment.number)
        let reader = try OplogReader(disk, layout, OplogSegment(segment))
        var frames: [StoredLogFrame] = []
        var offset = 0
        while let frame = try reader.next() {
            do {
                let found = try frame.withUnsafeBytes { try StoredLogFrame($0, at: offset) }
                guard frames.last.map({ $0.last < found.first }) ?? true, found.last <= segment.last else {
                    throw InvariantViolation("its entries are not in order")
                }
                frames.append(found)
            } catch { throw StorageDamage(path, offset: offset, "\(error)") }
            offset = reader.position
        }
        // The first entries may be no part of the log any more.
        let count = frames.reduce(0) { $0 + $1.count }
        guard let first = frames.first?.first, first <= segment.first, frames.last?.last == segment.last,
            count >= segment.count, first < segment.first || count == segment.count
        else {
            throw StorageDamage(
                path, offset: 0,
                "it holds \(count) entries from \(frames.first?.first ?? .null) to \(frames.last?.last ?? .null), and "
                    + "should hold \(segment.count) from \(segment.first) to \(segment.last)")
        }
        return frames
    }

    func read(_ frames: ArraySlice<StoredLogFrame>, of segment: StoredLogSegment) throws -> [[UInt8]] {
        guard let first = frames.first, let last = frames.last else { return [] }
        let path = layout.oplogSegment(segment.number)
        guard let file = try disk.openExisting(path) else {
            throw StorageDamage(path, offset: first.offset, "the file is missing")
        }
        let count = last.offset + last.length - first.offset
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { bytes.deallocate() }
        guard try file.read(into: bytes, at: first.offset) == count else {
            throw StorageDamage(path, offset: first.offset, "the file is too short")
        }
        return try frames.map {
            let start = $0.offset - first.offset
            let frame = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + $0.length)])
            // It was one when its place was noted, and the disk may have changed since.
            guard LogFrame.byteCount(frame) == $0.length else {
                throw StorageDamage(path, offset: $0.offset, "no frame of entries begins there")
            }
            do { try LogFrame.check(frame) } catch { throw StorageDamage(path, offset: $0.offset, "\(error)") }
            return [UInt8](frame)
        }
    }
}

extension OplogSegment {
    /// As much of it as is needed to read it.
    init(_ segment: StoredLogSegment) {
        self.init(
            number: segment.number, bytes: segment.bytes, first: segment.first.timestamp,
            last: segment.last.timestamp)
    }
}
