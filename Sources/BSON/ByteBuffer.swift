#if canImport(Glibc)
    internal import Glibc
#endif

/// A growable run of bytes outside Swift's heap: output of a connection, a write batch, a document under construction.
///
/// A reference, so that writers nested in one another append to the same bytes without copies. Not safe for use from
/// two threads. Grows by doubling; `removeAll` keeps the memory.
public final class ByteBuffer {
    /// What changes, behind a pointer: the compiler guards every access to a class's own variables against overlapping
    /// ones, and counts references to the class, which together cost more than an append.
    @usableFromInline let state: UnsafeMutablePointer<ByteBufferState>

    /// The smallest capacity, and the room that words may be stored beyond the end.
    private static let capacityMin = 16

    public init(capacity: Int = 256) {
        let capacity = max(capacity, ByteBuffer.capacityMin)
        state = CMemory.allocate(ByteBufferState.self, count: 1)
        state.initialize(to: ByteBufferState(base: CMemory.allocate(capacity), count: 0, capacity: capacity))
    }

    deinit {
        CMemory.free(state.pointee.base)
        CMemory.free(state)
    }

    @inlinable @inline(__always) public var base: UnsafeMutableRawPointer { state.pointee.base }
    @inlinable @inline(__always) public var count: Int { state.pointee.count }
    @inlinable @inline(__always) public var capacity: Int { state.pointee.capacity }

    @inlinable @inline(__always) public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: state.pointee.base, count: state.pointee.count)
    }

    /// Makes room for `more` bytes behind the end.
    @inlinable @inline(__always) public func reserve(_ more: Int) { state.pointee.reserve(more) }

    /// Grows by `length` uninitialised bytes and returns where they start; valid until the next append.
    @inlinable @inline(__always) public func extend(by length: Int) -> UnsafeMutableRawPointer {
        state.pointee.extend(by: length)
    }

    @inlinable @inline(__always) public func append(_ source: UnsafeRawPointer, count length: Int) {
        extend(by: length).copyMemory(from: source, byteCount: length)
    }
    @inlinable @inline(__always) public func append(_ source: UnsafeRawBufferPointer) {
        if let start = source.baseAddress { append(start, count: source.count) }
    }
    public func append(_ source: [UInt8]) { source.withUnsafeBytes { append($0) } }
    @inlinable @inline(__always) public func append(byte: UInt8) {
        extend(by: 1).storeBytes(of: byte, as: UInt8.self)
    }
    /// Appends a fixed-width integer, little-endian.
    @inlinable @inline(__always) public func append<T: FixedWidthInteger>(littleEndian value: T) {
        extend(by: MemoryLayout<T>.size).storeBytes(of: value.littleEndian, as: T.self)
    }
    /// Overwrites a fixed-width integer at `offset`, little-endian.
    @inlinable @inline(__always) public func set<T: FixedWidthInteger>(littleEndian value: T, at offset: Int) {
        (state.pointee.base + offset).storeBytes(of: value.littleEndian, as: T.self)
    }

    /// Drops the bytes from `length` on.
    @inlinable @inline(__always) public func truncate(to length: Int) {
        state.pointee.count = min(state.pointee.count, length)
    }

    /// Drops the first `length` bytes.
    public func removeFirst(_ length: Int) {
        guard length > 0 else { return }
        let rest = max(count - length, 0)
        if rest > 0 { memmove(base, base + length, rest) }
        state.pointee.count = rest
    }

    /// Drops all bytes. Memory above `keeping` bytes is given back.
    public func removeAll(keeping: Int = .max) {
        state.pointee.count = 0
        if capacity > max(keeping, ByteBuffer.capacityMin) {
            CMemory.free(base)
            state.pointee.capacity = max(keeping, ByteBuffer.capacityMin)
            state.pointee.base = CMemory.allocate(capacity)
        }
    }

    /// Exchanges bytes and memory with `other`, without a copy; the objects stay who they are.
    public func exchange(with other: ByteBuffer) { swap(&state.pointee, &other.state.pointee) }

    public func toArray() -> [UInt8] { [UInt8](bytes) }
}

/// The bytes of a `ByteBuffer`: where writers append to. The buffer owns them and outlives every writer.
@usableFromInline struct ByteBufferState {
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var count: Int
    @usableFromInline var capacity: Int

    @inlinable init(base: UnsafeMutableRawPointer, count: Int, capacity: Int) {
        self.base = base
        self.count = count
        self.capacity = capacity
    }

    @inlinable @inline(__always) mutating func reserve(_ more: Int) {
        if capacity &- count < more { grow(by: more) }
    }

    @usableFromInline @inline(never) mutating func grow(by more: Int) {
        let needed = count + more
        var larger = capacity * 2
        while larger < needed { larger *= 2 }
        let moved = CMemory.allocate(larger)
        moved.copyMemory(from: base, byteCount: count)
        CMemory.free(base)
        base = moved
        capacity = larger
    }

    @inlinable @inline(__always) mutating func extend(by length: Int) -> UnsafeMutableRawPointer {
        reserve(length)
        let at = base + count
        count &+= length
        return at
    }
}
