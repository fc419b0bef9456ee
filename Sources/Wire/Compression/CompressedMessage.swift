public import BSON
internal import Core

/// OP_COMPRESSED in place: another message, compressed. Behind the header come the original operation code, the size
/// that it must have again, the number of the compressor, and the bytes. Valid while its bytes are.
public struct CompressedMessage {
    /// What it is compressed by.
    public let compressor: Compressor
    /// Of the message within, without its header.
    public let uncompressedSize: Int
    private let header: MessageHeader
    private let originalOpCode: Int32
    private let payload: UnsafeRawBufferPointer

    private static let headByteCount = MessageHeader.byteCount + 9

    /// Whether a whole message is one of these.
    public static func isOne(_ message: UnsafeRawBufferPointer) -> Bool {
        guard message.count >= MessageHeader.byteCount, let base = message.baseAddress else { return false }
        return MessageHeader(at: base).opCode == OpCode.compressed
    }

    /// Reads the head of one whole message, and believes nothing in it that the limits do not allow.
    public init(_ message: UnsafeRawBufferPointer) throws(InvalidMessage) {
        guard message.count >= CompressedMessage.headByteCount, let base = message.baseAddress else {
            throw .closing("OP_COMPRESSED cut short")
        }
        header = MessageHeader(at: base)
        guard Int(header.messageLength) == message.count else { throw .closing("message length does not match") }
        originalOpCode = Int32(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: Int32.self))
        guard originalOpCode == OpCode.message || originalOpCode == OpCode.query else {
            throw .closing("OP_COMPRESSED with operation code \(originalOpCode) inside")
        }
        uncompressedSize = Int(Int32(littleEndian: base.loadUnaligned(fromByteOffset: 20, as: Int32.self)))
        let most = Limits.messageBytesMax - MessageHeader.byteCount
        guard (1...most).contains(uncompressedSize) else {
            throw .closing("OP_COMPRESSED of \(uncompressedSize) bytes; 1 to \(most) are allowed")
        }
        let number = base.load(fromByteOffset: 24, as: UInt8.self)
        guard let compressor = Compressor(rawValue: number) else {
            throw .closing("OP_COMPRESSED by an unknown compressor \(number)")
        }
        self.compressor = compressor
        payload = UnsafeRawBufferPointer(rebasing: message[CompressedMessage.headByteCount...])
    }

    /// Appends the message within, header included, to `buffer`.
    public func decompress(into buffer: ByteBuffer) throws(InvalidMessage) {
        let start = buffer.count
        let count = MessageHeader.byteCount + uncompressedSize
        buffer.appendHeader(header, length: count, opCode: originalOpCode)
        let target = UnsafeMutableRawBufferPointer(start: buffer.extend(by: uncompressedSize), count: uncompressedSize)
        guard compressor.decompress(payload, into: target) else {
            buffer.truncate(to: start)
            throw .closing("OP_COMPRESSED whose contents are not \(uncompressedSize) bytes of \(compressor.name)")
        }
    }

    /// Appends `message` to `buffer` in compressed form. False, with nothing appended, when that would not be shorter.
    public static func append(
        _ message: UnsafeRawBufferPointer, with compressor: Compressor, to buffer: ByteBuffer
    ) -> Bool {
        guard message.count > MessageHeader.byteCount, let base = message.baseAddress else { return false }
        let start = buffer.count
        let header = MessageHeader(at: base)
        let source = UnsafeRawBufferPointer(rebasing: message[MessageHeader.byteCount...])
        let bound = compressor.bound(source.count)
        buffer.appendHeader(header, length: 0, opCode: OpCode.compressed)
        let head = buffer.extend(by: 9)
        head.storeBytes(of: header.opCode.littleEndian, as: Int32.self)
        head.storeBytes(of: Int32(truncatingIfNeeded: source.count).littleEndian, toByteOffset: 4, as: Int32.self)
        head.storeBytes(of: compressor.rawValue, toByteOffset: 8, as: UInt8.self)
        let target = UnsafeMutableRawBufferPointer(start: buffer.extend(by: bound), count: bound)
        guard let count = compressor.compress(source, into: target), headByteCount + count < message.count else {
            buffer.truncate(to: start)
            return false
        }
        buffer.truncate(to: start + headByteCount + count)
        buffer.set(littleEndian: Int32(truncatingIfNeeded: headByteCount + count), at: start)
        return true
    }

    /// Compresses the last message of `output`, which begins at `start`, if that is worth the loop's time. Returns how
    /// many bytes it saved.
    @discardableResult
    public static func compressLast(of output: ByteBuffer, from start: Int, with compressor: Compressor) -> Int {
        let length = output.count - start
        guard (Limits.compressedMessageBytesMin...Limits.compressedMessageBytesMax).contains(length) else { return 0 }
        let message = UnsafeRawBufferPointer(rebasing: output.bytes[start...])
        let compressed = ByteBuffer(capacity: length)
        guard append(message, with: compressor, to: compressed) else { return 0 }
        output.truncate(to: start)
        output.append(compressed.bytes)
        return length - compressed.count
    }
}

extension ByteBuffer {
    fileprivate func appendHeader(_ header: MessageHeader, length: Int, opCode: Int32) {
        let at = extend(by: MessageHeader.byteCount)
        at.storeBytes(of: Int32(truncatingIfNeeded: length).littleEndian, as: Int32.self)
        at.storeBytes(of: header.requestID.littleEndian, toByteOffset: 4, as: Int32.self)
        at.storeBytes(of: header.responseTo.littleEndian, toByteOffset: 8, as: Int32.self)
        at.storeBytes(of: opCode.littleEndian, toByteOffset: 12, as: Int32.self)
    }
}
