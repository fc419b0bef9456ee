internal import Glibc

/// Memory of the C library.
///
/// Swift's own `allocate` asks for an alignment on Linux even where every allocation has it (`posix_memalign`), which
/// costs three times what `malloc` does: too much for what requests allocate. Aligned for everything up to 16 bytes.
public enum CMemory {
    /// Uninitialised bytes, at least one; given back with `free`. The process ends when there is no memory left, as
    /// with Swift's own.
    public static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
        guard let memory = malloc(max(byteCount, 1)) else { preconditionFailure("out of memory") }
        return memory
    }

    /// The same, for values that are yet to be initialised.
    public static func allocate<T>(_ type: T.Type, count: Int) -> UnsafeMutablePointer<T> {
        allocate(MemoryLayout<T>.stride * max(count, 1)).bindMemory(to: type, capacity: count)
    }

    /// Gives back what `allocate` returned.
    public static func free(_ memory: UnsafeMutableRawPointer) { Glibc.free(memory) }
}
