/// Walks the whole messages that a transport delivers in one piece.
@frozen public struct MessageReader {
    @usableFromInline var at: UnsafeRawPointer
    @usableFromInline let end: UnsafeRawPointer

    /// `messages` holds whole messages, one behind the other, as `ConnectionDelegate` promises.
    @inlinable public init(_ messages: UnsafeRawBufferPointer) {
        let base = messages.baseAddress ?? UnsafeRawPointer(bitPattern: 16)!
        at = base
        end = base + messages.count
    }

    /// The bytes of the next message, header included.
    @inlinable public mutating func next() -> UnsafeRawBufferPointer? {
        guard end - at >= MessageHeader.byteCount else { return nil }
        let length = Int(Int32(littleEndian: at.loadUnaligned(as: Int32.self)))
        guard length >= MessageHeader.byteCount, length <= end - at else { return nil }
        defer { at += length }
        return UnsafeRawBufferPointer(start: at, count: length)
    }
}
