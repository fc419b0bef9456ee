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
    var first: Timestamp { optimes.first?.timestamp ?? .zero }
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
