import BSON
public import Core

/// A part of an oplog that is in a file and need not be in memory. No more is written to it, up to `bytes`.
public struct StoredLogSegment: Sendable, Equatable {
    public let number: UInt64
    /// Bytes of the file.
    public let bytes: Int
    /// The first entry that is part of the log: those before it in the file are not, any more.
    public let first: OpTime
    public let last: OpTime
    /// Entries from `first` on, and their bytes, uncompressed.
    public let count: Int
    public let rawBytes: Int

    public init(number: UInt64, bytes: Int, first: OpTime, last: OpTime, count: Int, rawBytes: Int) {
        self.number = number
        self.bytes = bytes
        self.first = first
        self.last = last
        self.count = count
        self.rawBytes = rawBytes
    }
}

/// A frame of entries (`LogFrame`) in a segment.
public struct StoredLogFrame: Sendable, Equatable {
    public let offset: Int
    public let length: Int
    public let first: OpTime
    public let last: OpTime
    public let count: Int
    /// Bytes of its entries, uncompressed.
    public let rawBytes: Int

    /// What is in a frame that lies at `offset`.
    /// - Throws: when it is none, or does not hold whole entries.
    public init(_ frame: UnsafeRawBufferPointer, at offset: Int) throws {
        let opened = try LogFrame.open(frame)
        defer { opened.content.deallocate() }
        let content = UnsafeRawBufferPointer(opened.content)
        var (at, count) = (0, 0)
        var ends: (first: Int, last: Int)?
        while content.count - at >= 5, let base = content.baseAddress {
            let length = DocumentView(base: base + at).byteCount
            guard length >= 5, length <= content.count - at else { break }
            ends = (ends?.first ?? at, at)
            at += length
            count += 1
        }
        guard at == content.count, count == opened.count, let ends, let base = content.baseAddress,
            let first = OpTime(DocumentView(base: base + ends.first)),
            let last = OpTime(DocumentView(base: base + ends.last))
        else { throw InvariantViolation("a frame of the oplog does not hold whole entries") }
        self.offset = offset
        length = frame.count
        self.first = first
        self.last = last
        self.count = count
        rawBytes = content.count
    }

    /// The same as part of a log that holds it.
    func block(_ frame: [UInt8]) -> LogBlock {
        LogBlock(frame: frame, first: first, last: last, count: count, byteCount: rawBytes)
    }
}

/// The files of an oplog. Called on helper threads, and, where it cannot be helped, on the loop.
public protocol LogSegmentReading: Sendable {
    /// What a segment holds, in order. Opens every frame.
    /// - Throws: `StorageDamage`, `DiskError`.
    func frames(of segment: StoredLogSegment) throws -> [StoredLogFrame]
    /// The frames that lie there one behind the other, as they are stored; their checksums were looked at.
    func read(_ frames: ArraySlice<StoredLogFrame>, of segment: StoredLogSegment) throws -> [[UInt8]]
}
