public import BSON

/// One reply in place, as a client or another member reads it.
public struct Reply {
    /// The reply's own number, which the next of a stream answers.
    public let requestID: Int32
    /// The request that it answers.
    public let responseTo: Int32
    /// `MessageFlags`; 0 for OP_REPLY.
    public let flags: UInt32
    /// The document, validated.
    public let body: DocumentView

    /// Whether another reply follows without a request.
    public var moreToCome: Bool { flags & MessageFlags.moreToCome != 0 }

    /// Parses one whole OP_MSG or OP_REPLY message with exactly one document.
    public init(_ message: UnsafeRawBufferPointer) throws(InvalidMessage) {
        guard message.count >= MessageHeader.byteCount, let base = message.baseAddress else {
            throw .closing("message shorter than its header")
        }
        let header = MessageHeader(at: base)
        guard Int(header.messageLength) == message.count else { throw .closing("message length does not match") }
        let offset: Int
        switch header.opCode {
        case OpCode.message:
            guard message.count > 21 else { throw .closing("OP_MSG without a section") }
            flags = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
            guard base.load(fromByteOffset: 20, as: UInt8.self) == 0, flags & ~MessageFlags.moreToCome == 0 else {
                throw .closing("reply with unexpected flags or section")
            }
            offset = 21
        case OpCode.reply:
            guard message.count > 36 else { throw .closing("OP_REPLY cut short") }
            flags = 0
            offset = 36
        default: throw .closing("unexpected operation code \(header.opCode) in a reply")
        }
        requestID = header.requestID
        responseTo = header.responseTo
        do {
            body = try DocumentView.validate(
                UnsafeRawBufferPointer(rebasing: message[offset...]), depth: DocumentView.wrappedDepthMax)
        } catch {
            throw .closing("invalid BSON in a reply: \(error)")
        }
    }
}
