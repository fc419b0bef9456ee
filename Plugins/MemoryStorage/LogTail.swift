import BSON
import Core

/// The newest entries, uncompressed, one behind the other in large pieces of memory; an index names each.
struct LogTail {
    struct Entry {
        let optime: OpTime
        /// The number of its chunk, counted since the tail began.
        let chunk: Int
        let offset: Int
        let length: Int
        /// Bytes of all entries before this one, since the tail began.
        let before: Int
    }

    private struct Chunk {
        let base: UnsafeMutableRawPointer
        let capacity: Int
        var end: Int
    }

    private var entries: [Entry] = []
    private var head = 0
    private var chunks: [Chunk] = []
    /// The number of `chunks[0]`.
    private var firstChunk = 0
    private(set) var byteCount = 0
    private var appendedBytes = 0
    private static let chunkBytes = 256 * 1024

    var count: Int { entries.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Entry? { isEmpty ? nil : entries[head] }
    var last: Entry? { isEmpty ? nil : entries[entries.count - 1] }

    @inline(__always)
    subscript(index: Int) -> Entry { entries[head + index] }

    /// The bytes of an entry; valid until it is removed.
    @inline(__always)
    func bytes(_ entry: Entry) -> UnsafeRawBufferPointer {
        let base = chunks[entry.chunk - firstChunk].base
        return UnsafeRawBufferPointer(start: base + entry.offset, count: entry.length)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer, optime: OpTime) {
        if chunks.isEmpty || chunks[chunks.count - 1].end + bytes.count > chunks[chunks.count - 1].capacity {
            let capacity = max(LogTail.chunkBytes, bytes.count)
            chunks.append(Chunk(base: .allocate(byteCount: capacity, alignment: 16), capacity: capacity, end: 0))
        }
        let last = chunks.count - 1
        let offset = chunks[last].end
        if let source = bytes.baseAddress {
            (chunks[last].base + offset).copyMemory(from: source, byteCount: bytes.count)
        }
        chunks[last].end = offset + bytes.count
        entries.append(
            Entry(optime: optime, chunk: firstChunk + last, offset: offset, length: bytes.count, before: appendedBytes))
        appendedBytes += bytes.count
        byteCount += bytes.count
    }

    /// The first entry at or behind `timestamp`; `count` when there is none.
    func position(of timestamp: Timestamp) -> Int {
        var low = head
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].optime.timestamp < timestamp { low = middle + 1 } else { high = middle }
        }
        return low - head
    }

    /// Bytes of the first `count` entries.
    func byteCount(ofFirst count: Int) -> Int {
        guard count > 0 else { return 0 }
        let last = self[count - 1]
        return last.before + last.length - entries[head].before
    }

    /// How many entries from `index` on lie one behind the other in one piece of memory: at least one, and no more than
    /// make `bytesMax` or reach `end`.
    func run(from index: Int, before end: Int, bytesMax: Int) -> (count: Int, bytes: UnsafeRawBufferPointer) {
        let start = self[index]
        var count = 1
        var length = start.length
        while index + count < end {
            let next = self[index + count]
            guard next.chunk == start.chunk, length + next.length <= bytesMax else { break }
            length += next.length
            count += 1
        }
        let base = chunks[start.chunk - firstChunk].base
        return (count, UnsafeRawBufferPointer(start: base + start.offset, count: length))
    }

    mutating func removeFirst(_ removed: Int) {
        for _ in 0..<removed {
            byteCount -= entries[head].length
            head += 1
        }
        let needed = isEmpty ? firstChunk + chunks.count - 1 : entries[head].chunk
        // The last chunk stays, to be filled further.
        let free = min(needed - firstChunk, max(chunks.count - 1, 0))
        if free > 0 {
            for chunk in chunks[..<free] {
                chunk.base.deallocate()
            }
            chunks.removeFirst(free)
            firstChunk += free
        }
        if head >= 4096, head * 2 >= entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }

    /// Removes the entries from `index` on.
    mutating func removeLast(from index: Int) {
        while count > index {
            let entry = entries.removeLast()
            byteCount -= entry.length
            appendedBytes = entry.before
            while firstChunk + chunks.count - 1 > entry.chunk {
                let chunk = chunks.removeLast()
                chunk.base.deallocate()
            }
            chunks[chunks.count - 1].end = entry.offset
        }
    }

    mutating func removeAll() {
        for chunk in chunks { chunk.base.deallocate() }
        self = LogTail()
    }
}
