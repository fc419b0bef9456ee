#if canImport(Glibc)
    internal import Glibc
#endif

/// A growable run of bytes outside Swift's heap: output of a connection, a write batch, a document under construction.
///
/// A reference, so that writers nested in one another append to the same bytes without copies. Not safe for use from two
/// threads. Grows by doubling; `removeAll` keeps the memory.
public final class ByteBuffer {
    public private(set) var base: UnsafeMutableRawPointer
    public private(set) var count: Int = 0
    public private(set) var capacity: Int

    public init(capacity: Int = 256) {
        self.capacity = max(capacity, 16)
        base = UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    @inline(__always) public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Makes room for `more` bytes behind the end.
    @inline(__always) public func reserve(_ more: Int) {
        if count + more > capacity { grow(to: count + more) }
    }

    @inline(never) private func grow(to needed: Int) {
        var larger = capacity * 2
        while larger < needed { larger *= 2 }
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = moved
        capacity = larger
    }

    /// Grows by `length` uninitialised bytes and returns where they start; valid until the next append.
    @inline(__always) public func extend(by length: Int) -> UnsafeMutableRawPointer {
        reserve(length)
        let at = base + count
        count += length
        return at
    }

    @inline(__always) public func append(_ source: UnsafeRawPointer, count length: Int) {
        extend(by: length).copyMemory(from: source, byteCount: length)
    }
    @inline(__always) public func append(_ source: UnsafeRawBufferPointer) {
        if let start = source.baseAddress { append(start, count: source.count) }
    }
    public func append(_ source: [UInt8]) { source.withUnsafeBytes { append($0) } }
    @inline(__always) public func append(byte: UInt8) {
        extend(by: 1).storeBytes(of: byte, as: UInt8.self)
    }
    /// Appends a fixed-width integer, little-endian.
    @inline(__always) public func append<T: FixedWidthInteger>(littleEndian value: T) {
        extend(by: MemoryLayout<T>.size).storeBytes(of: value.littleEndian, as: T.self)
    }
    /// Overwrites a fixed-width integer at `offset`, little-endian.
    @inline(__always) public func set<T: FixedWidthInteger>(littleEndian value: T, at offset: Int) {
        (base + offset).storeBytes(of: value.littleEndian, as: T.self)
    }

    /// Drops the bytes from `length` on.
    @inline(__always) public func truncate(to length: Int) { count = min(count, length) }

    /// Drops the first `length` bytes.
    public func removeFirst(_ length: Int) {
        guard length > 0 else { return }
        let rest = count - length
        if rest > 0 { memmove(base, base + length, rest) }
        count = max(rest, 0)
    }

    /// Drops all bytes. Memory above `keeping` bytes is given back.
    public func removeAll(keeping: Int = .max) {
        count = 0
        if capacity > keeping {
            base.deallocate()
            capacity = max(keeping, 16)
            base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        }
    }

    /// Exchanges bytes and memory with `other`, without a copy; the objects stay who they are.
    public func exchange(with other: ByteBuffer) {
        swap(&base, &other.base)
        swap(&count, &other.count)
        swap(&capacity, &other.capacity)
    }

    public func toArray() -> [UInt8] { [UInt8](bytes) }
}
