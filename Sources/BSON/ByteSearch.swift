internal import CBSON

/// Looks for bytes in bytes.
public enum ByteSearch {
    /// Where `needle` first starts in `bytes`; nil when it is not there. Linear in both.
    public static func find(_ needle: UnsafeRawBufferPointer, in bytes: UnsafeRawBufferPointer) -> Int? {
        guard needle.count <= bytes.count else { return nil }
        guard let wanted = needle.baseAddress, let base = bytes.baseAddress, needle.count > 0 else { return 0 }
        guard let found = cbson_find(base, bytes.count, wanted, needle.count) else { return nil }
        return found - base
    }
}
