public import BSON

/// One large compressed message on its way through a helper thread: made on the loop, run there, read on the loop
/// again.
public final class Decompression: @unchecked Sendable {
    private let message: ByteBuffer
    /// The message within, header included; nil before `run`.
    public private(set) var result: Result<ByteBuffer, InvalidMessage>?

    /// Copies the message.
    public init(_ message: UnsafeRawBufferPointer) {
        self.message = ByteBuffer(capacity: message.count)
        self.message.append(message)
    }

    /// Decompresses it.
    public func run() {
        result = Result { () throws(InvalidMessage) in
            let compressed = try CompressedMessage(message.bytes)
            let plain = ByteBuffer(capacity: compressed.uncompressedSize + MessageHeader.byteCount)
            try compressed.decompress(into: plain)
            return plain
        }
    }
}
