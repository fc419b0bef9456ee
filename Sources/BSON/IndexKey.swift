internal import CBSON

/// Order-preserving byte strings of BSON values: `memcmp` of two keys is the order of the values.
///
/// Numbers that are equal have equal key bytes whatever their type. Every encoded value ends itself, so that a key of
/// several values is their concatenation and no key is a prefix of another with the same number of fields.
public enum IndexKey {
    /// Appends the key bytes of `value`; `descending` reverses the order.
    @inline(__always) public static func append(_ value: ValueView, descending: Bool = false, to buffer: ByteBuffer) {
        append(type: value.type, pointer: value.pointer, descending: descending, to: buffer)
    }

    /// Appends the key bytes of null, which also stands for a missing field.
    public static func appendNull(descending: Bool = false, to buffer: ByteBuffer) {
        append(type: .null, pointer: UnsafeRawPointer(buffer.base), descending: descending, to: buffer)
    }

    private static func append(type: BSONType, pointer: UnsafeRawPointer, descending: Bool, to buffer: ByteBuffer) {
        let bound = cbson_key_size_max(type.rawValue, pointer)
        let start = buffer.count
        let at = buffer.extend(by: bound)
        let used = cbson_key_append(type.rawValue, pointer, descending, at.assumingMemoryBound(to: UInt8.self))
        buffer.truncate(to: start + used)
    }
}
