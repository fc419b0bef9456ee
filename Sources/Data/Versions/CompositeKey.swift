#if canImport(Glibc)
    import Glibc
#endif
import BSON
import Core

/// Builds keys of the in-memory trees: `table (4, big-endian) | key`, and behind it a time for history. One instance's
/// key is valid until it makes the next.
struct CompositeKey {
    private let base: UnsafeMutableRawPointer
    /// A bound may be a little longer than a key.
    static let keyBytesMax = Limits.storageKeyBytesMax + 256

    /// Pages of it that no key has reached take no memory.
    init() {
        base = UnsafeMutableRawPointer.allocate(byteCount: CompositeKey.keyBytesMax + 12, alignment: 8)
    }

    func deallocate() { base.deallocate() }

    /// `table | key`
    @inline(__always)
    func make(_ table: TableID, _ key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        precondition(key.count <= CompositeKey.keyBytesMax, "a key is longer than its buffer")
        base.storeBytes(of: table.rawValue.bigEndian, as: UInt32.self)
        if let source = key.baseAddress { (base + 4).copyMemory(from: source, byteCount: key.count) }
        return UnsafeRawBufferPointer(start: base, count: 4 + key.count)
    }

    /// `table | key | time`
    @inline(__always)
    func make(_ table: TableID, _ key: UnsafeRawBufferPointer, _ time: UInt64) -> UnsafeRawBufferPointer {
        let prefix = make(table, key)
        (base + prefix.count).storeBytes(of: time.bigEndian, as: UInt64.self)
        return UnsafeRawBufferPointer(start: base, count: prefix.count + 8)
    }

    /// The table of a composite key.
    @inline(__always)
    static func table(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
    }
}

/// Unsigned byte order, a prefix first: the order of all tables.
@inline(__always)
func compareKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    if let left = a.baseAddress, let right = b.baseAddress {
        let order = memcmp(left, right, min(a.count, b.count))
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}
