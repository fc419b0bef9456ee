import Core

/// First in, first out, of byte strings in large pieces of memory: the order in which history is forgotten.
struct HistoryQueue {
    private struct Chunk {
        let base: UnsafeMutableRawPointer
        let capacity: Int
        var end: Int
    }

    private var chunks: [Chunk] = []
    /// The first chunk in use, and the first entry in it.
    private var head = 0
    private var headOffset = 0
    private(set) var byteCount = 0
    private static let chunkBytes = 64 * 1024

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        let size = 4 + bytes.count
        if chunks.count == head || chunks[chunks.count - 1].end + size > chunks[chunks.count - 1].capacity {
            let capacity = max(HistoryQueue.chunkBytes, size)
            chunks.append(
                Chunk(base: .allocate(byteCount: capacity, alignment: 8), capacity: capacity, end: 0))
            byteCount += capacity
        }
        let last = chunks.count - 1
        let at = chunks[last].base + chunks[last].end
        at.storeBytes(of: UInt32(truncatingIfNeeded: bytes.count), as: UInt32.self)
        if let source = bytes.baseAddress { (at + 4).copyMemory(from: source, byteCount: bytes.count) }
        chunks[last].end += size
    }

    /// The oldest entry, in place.
    var first: UnsafeRawBufferPointer? {
        guard head < chunks.count else { return nil }
        let at = chunks[head].base + headOffset
        return UnsafeRawBufferPointer(start: at + 4, count: Int(at.loadUnaligned(as: UInt32.self)))
    }

    mutating func removeFirst() {
        guard let first else { return }
        headOffset += 4 + first.count
        guard headOffset == chunks[head].end else { return }
        chunks[head].base.deallocate()
        byteCount -= chunks[head].capacity
        head += 1
        headOffset = 0
        if head >= 64, head * 2 >= chunks.count {
            chunks.removeFirst(head)
            head = 0
        }
    }

    mutating func removeAll() {
        for chunk in chunks[head...] { chunk.base.deallocate() }
        chunks.removeAll()
        head = 0
        headOffset = 0
        byteCount = 0
    }
}
