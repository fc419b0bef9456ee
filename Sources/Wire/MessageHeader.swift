/// The 16 bytes in front of every message: four little-endian int32.
@frozen public struct MessageHeader {
    public static let byteCount = 16

    /// Whole message, these 16 bytes included.
    public let messageLength: Int32
    /// Chosen by the sender; any 32-bit number.
    public let requestID: Int32
    /// The request that this message answers; 0 in requests.
    public let responseTo: Int32
    /// One of `OpCode`, or what else the sender wrote.
    public let opCode: Int32

    /// Reads the header at `pointer`, of which 16 bytes must be readable.
    @inlinable public init(at pointer: UnsafeRawPointer) {
        messageLength = Int32(littleEndian: pointer.loadUnaligned(as: Int32.self))
        requestID = Int32(littleEndian: pointer.loadUnaligned(fromByteOffset: 4, as: Int32.self))
        responseTo = Int32(littleEndian: pointer.loadUnaligned(fromByteOffset: 8, as: Int32.self))
        opCode = Int32(littleEndian: pointer.loadUnaligned(fromByteOffset: 12, as: Int32.self))
    }
}

/// The operation codes of the wire protocol that Quorate knows.
public enum OpCode {
    /// OP_REPLY, the answer to OP_QUERY.
    public static let reply: Int32 = 1
    /// For what older drivers send before they know that OP_MSG is understood: `hello`, and a few commands beside it.
    public static let query: Int32 = 2004
    /// OP_COMPRESSED: another message inside.
    public static let compressed: Int32 = 2012
    /// OP_MSG.
    public static let message: Int32 = 2013
}

/// Flag bits of OP_MSG. Bits 0–15 are required: an unknown one is an error. Bits 16–31 are optional.
public enum MessageFlags {
    /// The message ends with its CRC-32C.
    public static let checksumPresent: UInt32 = 1 << 0
    /// No reply is wanted to this request; or further replies follow this one.
    public static let moreToCome: UInt32 = 1 << 1
    /// The client takes more than one reply to this request.
    public static let exhaustAllowed: UInt32 = 1 << 16
}
