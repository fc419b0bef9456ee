public import BSON

/// Writes one message into an output buffer, in place: the header first, its length when the document is finished.
public struct MessageWriter {
    /// Append the command's or reply's fields here.
    public let document: DocumentWriter
    private let start: Int
    /// What the end of a reply mostly takes.
    private static let endingBytes = 192

    private init(document: DocumentWriter, start: Int) {
        self.document = document
        self.start = start
    }

    /// Starts an OP_MSG with one body section.
    @inline(__always)
    public init(message output: ByteBuffer, requestID: Int32, responseTo: Int32, flags: UInt32 = 0) {
        start = output.count
        let at = output.extend(by: 21)
        at.storeBytes(of: requestID.littleEndian, toByteOffset: 4, as: Int32.self)
        at.storeBytes(of: responseTo.littleEndian, toByteOffset: 8, as: Int32.self)
        at.storeBytes(of: OpCode.message.littleEndian, toByteOffset: 12, as: Int32.self)
        at.storeBytes(of: flags.littleEndian, toByteOffset: 16, as: UInt32.self)
        at.storeBytes(of: 0, toByteOffset: 20, as: UInt8.self)
        document = DocumentWriter(startingIn: output)
    }

    /// Starts an OP_REPLY with one document, for clients that opened with OP_QUERY.
    /// - Parameters:
    ///   - output: where the message is appended.
    ///   - requestID: the message's own number.
    ///   - responseTo: the request that it answers.
    ///   - isFailedQuery: the query on a collection has failed; the document says why in `$err`.
    public init(reply output: ByteBuffer, requestID: Int32, responseTo: Int32, isFailedQuery: Bool = false) {
        start = output.count
        let at = output.extend(by: 36)
        at.initializeMemory(as: UInt8.self, repeating: 0, count: 36)
        at.storeBytes(of: requestID.littleEndian, toByteOffset: 4, as: Int32.self)
        at.storeBytes(of: responseTo.littleEndian, toByteOffset: 8, as: Int32.self)
        at.storeBytes(of: OpCode.reply.littleEndian, toByteOffset: 12, as: Int32.self)
        // responseFlags AwaitCapable (and QueryFailure), cursorID 0, startingFrom 0, numberReturned 1.
        let flags: Int32 = isFailedQuery ? 10 : 8
        at.storeBytes(of: flags.littleEndian, toByteOffset: 16, as: Int32.self)
        at.storeBytes(of: Int32(1).littleEndian, toByteOffset: 32, as: Int32.self)
        document = DocumentWriter(startingIn: output)
    }

    /// Ends the document and the message. Returns the message's length.
    @inline(__always) @discardableResult
    public func finish() -> Int {
        document.finish()
        let length = document.buffer.count - start
        document.buffer.set(littleEndian: Int32(truncatingIfNeeded: length), at: start)
        return length
    }

    /// The same for an OP_MSG with document sequences behind its document: those of a request that is passed on.
    public func finish(with sequences: DocumentSequence?...) {
        document.finish()
        for sequence in sequences {
            guard let sequence else { continue }
            let length = 4 + sequence.identifier.count + 1 + sequence.bytes.count
            document.buffer.append(byte: 1)
            document.buffer.append(littleEndian: Int32(truncatingIfNeeded: length))
            document.buffer.append(sequence.identifier.bytes)
            document.buffer.append(byte: 0)
            document.buffer.append(sequence.bytes)
        }
        let length = document.buffer.count - start
        document.buffer.set(littleEndian: Int32(truncatingIfNeeded: length), at: start)
    }

    /// Says in an OP_MSG that another message follows it.
    public func setMoreToCome() { document.buffer.set(littleEndian: MessageFlags.moreToCome, at: start + 16) }
    /// The message's own number.
    public var requestID: Int32 { MessageHeader(at: document.buffer.base + start).requestID }
    /// Takes back what was written of this message.
    public func discard() { document.buffer.truncate(to: start) }
    /// Takes the message as it is so far out of the buffer, into one of its own: a reply that has to wait.
    public func taken() -> MessageWriter {
        let own = ByteBuffer(capacity: byteCount + MessageWriter.endingBytes)
        own.append(bytes)
        discard()
        return MessageWriter(document: DocumentWriter(continuing: document.start - start, in: own), start: 0)
    }
    /// Drops the fields written so far and leaves an empty document: an error came up half-way through a reply.
    public func restart() { document.buffer.truncate(to: document.start + 4) }
    /// The message so far.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: document.buffer.bytes[start...]) }
    /// Bytes of the message so far.
    public var byteCount: Int { document.buffer.count - start }
}
