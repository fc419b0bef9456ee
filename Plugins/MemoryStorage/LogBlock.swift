import BSON
import Core

/// A sealed run of entries: a compressed frame, and what is known of it without opening it.
struct LogBlock {
    let frame: [UInt8]
    let first: OpTime
    let last: OpTime
    let count: Int
    let byteCount: Int

    init(frame: [UInt8], first: OpTime, last: OpTime, count: Int, byteCount: Int) {
        self.frame = frame
        self.first = first
        self.last = last
        self.count = count
        self.byteCount = byteCount
    }

    /// The block of a frame that comes from elsewhere.
    init(frame: [UInt8]) throws {
        let opened = try frame.withUnsafeBytes { try LogFrame.open($0) }
        defer { opened.content.deallocate() }
        let content = UnsafeRawBufferPointer(opened.content)
        var (at, count) = (0, 0)
        var ends: (first: OpTime, last: OpTime)?
        while at < content.count {
            guard content.count - at >= 5 else { break }
            let entry = DocumentView(base: content.baseAddress! + at)
            guard entry.byteCount >= 5, entry.byteCount <= content.count - at, let optime = OpTime(entry) else { break }
            ends = (ends?.first ?? optime, optime)
            at += entry.byteCount
            count += 1
        }
        guard let ends, at == content.count, count == opened.count else {
            throw InvariantViolation("a frame of the oplog does not hold what it says")
        }
        self.init(frame: frame, first: ends.first, last: ends.last, count: count, byteCount: content.count)
    }
}

/// A sealed block's content, opened, with an index of its entries.
final class OpenedLogBlock {
    let first: Timestamp
    private let content: UnsafeMutableRawBufferPointer
    private var ends: [Int] = []
    private(set) var optimes: [OpTime] = []

    init(_ block: LogBlock) throws {
        let opened = try block.frame.withUnsafeBytes { try LogFrame.open($0) }
        content = opened.content
        first = block.first.timestamp
        ends.reserveCapacity(block.count)
        optimes.reserveCapacity(block.count)
        var offset = 0
        while offset + 5 <= content.count {
            let entry = DocumentView(base: UnsafeRawPointer(content.baseAddress! + offset))
            guard entry.byteCount >= 5, entry.byteCount <= content.count - offset else { break }
            guard let optime = OpTime(entry) else { break }
            offset += entry.byteCount
            ends.append(offset)
            optimes.append(optime)
        }
        try invariant(offset == content.count && ends.count == block.count, "a sealed oplog block is damaged")
        try invariant(
            optimes.first == block.first && optimes.last == block.last, "a sealed oplog block has other entries")
    }

    deinit { content.deallocate() }

    var count: Int { ends.count }

    func bytes(_ index: Int) -> UnsafeRawBufferPointer {
        let start = index == 0 ? 0 : ends[index - 1]
        return UnsafeRawBufferPointer(rebasing: content[start..<ends[index]])
    }

    /// The entries from `index` on, as many as make `bytesMax` but at least one.
    func run(from index: Int, bytesMax: Int) -> (count: Int, bytes: UnsafeRawBufferPointer) {
        let start = index == 0 ? 0 : ends[index - 1]
        var end = index
        while end + 1 < ends.count, ends[end + 1] - start <= bytesMax { end += 1 }
        return (end + 1 - index, UnsafeRawBufferPointer(rebasing: content[start..<ends[end]]))
    }

    /// The first entry at or behind `timestamp`; `count` when there is none.
    func position(of timestamp: Timestamp) -> Int {
        var low = 0
        var high = optimes.count
        while low < high {
            let middle = (low + high) / 2
            if optimes[middle].timestamp < timestamp { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
