import BSON

/// Whole messages that lie one behind the other, and what is wrong with the bytes behind them.
public struct MessageBatch {
    /// Empty when no message is whole yet. Valid until `MessageFramer.finish`.
    public let messages: UnsafeRawBufferPointer
    /// The length that the next message claims, when it is not one that a message may have.
    public let malformedLength: Int32?
}

/// Cuts what arrives on a connection into whole messages, for transports.
///
/// Messages that arrived whole are handed on where they lie. What is left of a batch is kept until the rest arrives, in
/// memory that grows with the bytes that really came: at most twice as much, whatever length a header claims.
///
/// Use: read into `readSpace(otherwise:)`, pass what was read to `receive`, hand its messages on, then `finish`.
public struct MessageFramer {
    /// The beginning of a message, when one is under way.
    private var partial: ByteBuffer?
    /// The length which that message claims; 0 while its first four bytes are not here.
    private var announced = 0
    /// Bytes at the front of `partial` that the last batch consists of.
    private var delivered = 0

    /// Shortest message: its header.
    public static let messageBytesMin = 16

    public init() {}

    /// Bytes of a message that is not whole yet.
    public var pendingBytes: Int { partial?.count ?? 0 }

    /// Where to read to: behind the message under way, or `shared` when there is none.
    public mutating func readSpace(otherwise shared: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        guard var buffer = partial else { return shared }
        if buffer.count == buffer.capacity {
            let larger = ByteBuffer(
                capacity: max(min(buffer.count * 2, announced), Limits.partialMessageBytesStart, buffer.count + 16))
            larger.append(buffer.bytes)
            partial = larger
            buffer = larger
        }
        return UnsafeMutableRawBufferPointer(start: buffer.base + buffer.count, count: buffer.capacity - buffer.count)
    }

    /// Takes bytes that arrived, at `readSpace` or anywhere else.
    public mutating func receive(_ bytes: UnsafeRawBufferPointer) -> MessageBatch {
        guard let buffer = partial else {
            let scan = Self.scan(bytes)
            if scan.malformed == nil { keep(UnsafeRawBufferPointer(rebasing: bytes[scan.whole...]), scan.announced) }
            return MessageBatch(
                messages: UnsafeRawBufferPointer(rebasing: bytes[..<scan.whole]), malformedLength: scan.malformed)
        }
        if bytes.baseAddress == UnsafeRawPointer(buffer.base + buffer.count) {
            _ = buffer.extend(by: bytes.count)
        } else {
            buffer.append(bytes)
        }
        guard buffer.count >= announced else {
            return MessageBatch(messages: UnsafeRawBufferPointer(start: nil, count: 0), malformedLength: nil)
        }
        let scan = Self.scan(buffer.bytes)
        announced = scan.announced
        delivered = scan.whole
        return MessageBatch(
            messages: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<scan.whole]), malformedLength: scan.malformed)
    }

    /// Gives back the memory of the last batch.
    public mutating func finish() {
        guard delivered > 0, let buffer = partial else { return }
        if delivered == buffer.count {
            partial = nil
        } else if buffer.capacity > Limits.readBytesMax {
            keep(UnsafeRawBufferPointer(rebasing: buffer.bytes[delivered...]), announced)
        } else {
            buffer.removeFirst(delivered)
        }
        delivered = 0
    }

    private mutating func keep(_ rest: UnsafeRawBufferPointer, _ announced: Int) {
        self.announced = announced
        guard !rest.isEmpty else { return }
        let buffer = ByteBuffer(
            capacity: max(min(rest.count * 2, announced), Limits.partialMessageBytesStart, rest.count))
        buffer.append(rest)
        partial = buffer
    }

    /// How many bytes at the front are whole messages, and what is said about the one behind them.
    /// Stops when `messagesMax` are found.
    public static func scan(
        _ bytes: UnsafeRawBufferPointer, messagesMax: Int = .max
    ) -> (whole: Int, announced: Int, malformed: Int32?) {
        var whole = 0
        var found = 0
        while bytes.count - whole >= 4, found < messagesMax {
            let length = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: whole, as: Int32.self))
            guard length >= messageBytesMin, length <= Limits.messageBytesMax else { return (whole, 0, length) }
            guard bytes.count - whole >= Int(length) else { return (whole, Int(length), nil) }
            whole += Int(length)
            found += 1
        }
        return (whole, 0, nil)
    }
}
