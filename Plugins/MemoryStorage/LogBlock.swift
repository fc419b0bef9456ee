import BSON
import Core

/// A sealed run of entries: a compressed frame, and what is known of it without opening it.
struct LogBlock {
    let frame: [UInt8]
    let first: OpTime
    let last: OpTime
    let count: Int
    let byteCount: Int
}

/// A sealed block's content, opened, with an index of its entries.
final class OpenedLogBlock {
    private let content: UnsafeMutableRawBufferPointer
    private var ends: [Int] = []
    private(set) var optimes: [OpTime] = []

    convenience init(_ block: LogBlock) throws {
        try self.init(frame: block.frame)
        try invariant(
            optimes.first == block.first && optimes.last == block.last, "a sealed oplog block has other entries")
    }

    init(frame: [UInt8]) throws {
        let opened = try frame.withUnsafeBytes { try LogFrame.open($0) }
        content = opened.content
        ends.reserveCapacity(opened.count)
        optimes.reserveCapacity(opened.count)
        var offset = 0
        while offset + 5 <= content.count {
            let entry = DocumentView(base: UnsafeRawPointer(content.baseAddress! + offset))
            guard entry.byteCount >= 5, entry.byteCount <= content.count - offset else { break }
            guard let optime = OpTime(entry) else { break }
            offset += entry.byteCount
            ends.append(offset)
            optimes.append(optime)
        }
        try invariant(offset == content.count && ends.count == opened.count, "a sealed oplog block is damaged")
    }

    /// What is known of the block that `frame` was; nil when it has no entries.
    func block(of frame: [UInt8]) -> LogBlock? {
        guard let first = optimes.first, let last = optimes.last else { return nil }
        return LogBlock(frame: frame, first: first, last: last, count: count, byteCount: content.count)
    }

    deinit { content.deallocate() }

    var count: Int { ends.count }

    func bytes(_ index: Int) -> UnsafeRawBufferPointer {
        let start = index == 0 ? 0 : ends[index - 1]
        return UnsafeRawBufferPointer(rebasing: content[start..<ends[index]])
    }

    /// Some entries, one behind the other.
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        let start = range.lowerBound == 0 ? 0 : ends[range.lowerBound - 1]
        let end = range.upperBound == 0 ? 0 : ends[range.upperBound - 1]
        return UnsafeRawBufferPointer(rebasing: content[start..<end])
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

/// Blocks that were opened for readers, the one used last at the end.
struct OpenedLogBlocks {
    private var blocks: [OpenedLogBlock] = []

    /// Frames of files begin and end where blocks in memory do not: one is known by both its ends.
    private func index(_ block: LogBlock) -> Int? {
        blocks.lastIndex { $0.optimes.first == block.first && $0.optimes.last == block.last }
    }

    mutating func open(_ block: LogBlock) throws -> OpenedLogBlock {
        if let index = index(block) {
            let opened = blocks.remove(at: index)
            blocks.append(opened)
            return opened
        }
        let opened = try OpenedLogBlock(block)
        if blocks.count >= Limits.oplogOpenBlocksMax { blocks.removeFirst() }
        blocks.append(opened)
        return opened
    }

    mutating func forget(_ block: LogBlock) {
        if let index = index(block) { blocks.remove(at: index) }
    }

    mutating func removeAll() { blocks.removeAll() }
}
