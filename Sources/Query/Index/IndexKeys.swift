import BSON

#if canImport(Glibc)
    import Glibc
#endif

/// The keys of one document in one index, and where arrays made them more than one. Reused from document to document.
public final class IndexKeys {
    private struct Slice {
        let start: Int
        let end: Int
    }

    private let buffer = ByteBuffer()
    private var slices: [Slice] = []
    /// For each field of the index, a bit for each name of its path that led to an array.
    public private(set) var multikeyPaths: [UInt64] = []

    public init() {}

    /// The number of keys; they are distinct and ascending.
    public var count: Int { slices.count }
    /// Key `index`; valid until the keys of another document are made.
    public subscript(index: Int) -> UnsafeRawBufferPointer {
        let slice = slices[index]
        return UnsafeRawBufferPointer(start: buffer.base + slice.start, count: slice.end - slice.start)
    }
    /// Whether an array was searched for keys, even one that gave a single key.
    public var isMultikey: Bool { multikeyPaths.contains { $0 != 0 } }

    func reset(fieldCount: Int) {
        buffer.removeAll()
        slices.removeAll(keepingCapacity: true)
        if multikeyPaths.count == fieldCount {
            for field in 0..<fieldCount { multikeyPaths[field] = 0 }
        } else {
            multikeyPaths = [UInt64](repeating: 0, count: fieldCount)
        }
    }

    func markArray(field: Int, part: Int) { multikeyPaths[field] |= 1 << UInt64(min(part, 63)) }

    /// Appends one key, which `write` encodes at the end of the buffer.
    @inline(__always) func appendKey(_ write: (ByteBuffer) -> Void) {
        let start = buffer.count
        write(buffer)
        slices.append(Slice(start: start, end: buffer.count))
    }

    /// Sorts the keys and drops repeated ones.
    func finish() {
        guard slices.count > 1 else { return }
        slices.sort { compare($0, $1) < 0 }
        var kept = 1
        for index in 1..<slices.count where compare(slices[kept - 1], slices[index]) != 0 {
            slices[kept] = slices[index]
            kept += 1
        }
        slices.removeLast(slices.count - kept)
    }

    private func compare(_ a: Slice, _ b: Slice) -> Int {
        let lengthA = a.end - a.start
        let lengthB = b.end - b.start
        let order = memcmp(buffer.base + a.start, buffer.base + b.start, min(lengthA, lengthB))
        return order != 0 ? Int(order) : lengthA - lengthB
    }
}
