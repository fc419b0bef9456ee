public import BSON
internal import Core

/// One request in place: OP_MSG, or OP_QUERY as older drivers send their first `hello`. Valid while its bytes are.
///
/// All documents in it have been validated.
public struct Request {
    /// How a request came.
    public enum Form: Sendable {
        case message
        /// Answered with OP_REPLY.
        case query
    }

    /// How it came, which is how it is answered.
    public let form: Form
    /// What its reply names in `responseTo`.
    public let requestID: Int32
    /// `MessageFlags`; 0 for OP_QUERY.
    public let flags: UInt32
    /// The command document.
    public let body: DocumentView
    /// For OP_QUERY its namespace, `database.$cmd` when it is a command; OP_MSG carries `$db` in the body.
    let queryNamespace: KeyView?
    /// OP_QUERY's flag that allows a read on a secondary.
    public let querySecondaryOk: Bool
    /// Document sequences (`documents`, `updates`, `deletes`, `ops`, `nsInfo`). Two at most, without an allocation.
    public let firstSequence: DocumentSequence?
    /// The second of them.
    public let secondSequence: DocumentSequence?

    /// For OP_QUERY the database of its namespace; OP_MSG carries `$db` in the body.
    public var queryDatabase: String? {
        guard let name = queryNamespace?.string, name.hasSuffix(".$cmd") else { return nil }
        return String(name.dropLast(5))
    }
    /// For OP_QUERY on a collection, which is no command and only refused: its name.
    public var queriedCollection: String? {
        guard let name = queryNamespace?.string, !name.hasSuffix(".$cmd") else { return nil }
        return name
    }

    /// Whether the client expects no reply.
    @inlinable public var isUnacknowledged: Bool { flags & MessageFlags.moreToCome != 0 }
    /// Whether the client takes more than one reply.
    @inlinable public var allowsExhaust: Bool { flags & MessageFlags.exhaustAllowed != 0 }

    /// The sequence called `name`.
    public func sequence(_ name: StaticString) -> DocumentSequence? {
        if let first = firstSequence, first.identifier == name { return first }
        if let second = secondSequence, second.identifier == name { return second }
        return nil
    }
}

extension Request {
    /// The same request with another command document, which has to live as long.
    public func replacing(body: DocumentView) -> Request {
        Request(
            form: form, requestID: requestID, flags: flags, body: body, queryNamespace: queryNamespace,
            querySecondaryOk: querySecondaryOk, firstSequence: firstSequence, secondSequence: secondSequence)
    }
}

/// A kind-1 section of OP_MSG: validated documents, one behind the other.
public struct DocumentSequence: Sequence {
    /// Its name: the field of the command that it stands for.
    public let identifier: KeyView
    /// The documents, one behind the other.
    public let bytes: UnsafeRawBufferPointer
    /// How many documents there are.
    public let count: Int

    /// Documents that were validated, one behind the other; valid as long as the bytes are.
    public init(identifier: KeyView, bytes: UnsafeRawBufferPointer, count: Int) {
        self.identifier = identifier
        self.bytes = bytes
        self.count = count
    }

    /// Walks the documents in order.
    public struct Iterator: IteratorProtocol {
        var at: UnsafeRawPointer?
        let end: UnsafeRawPointer?
        @inline(__always) public mutating func next() -> DocumentView? {
            guard let here = at, let end, here < end else { return nil }
            let view = DocumentView(base: here)
            at = here + view.byteCount
            return view
        }
    }
    /// The first document.
    @inline(__always) public var first: DocumentView? {
        bytes.isEmpty ? nil : bytes.baseAddress.map { DocumentView(base: $0) }
    }

    @inline(__always) public func makeIterator() -> Iterator {
        Iterator(at: bytes.baseAddress, end: bytes.baseAddress.map { $0 + bytes.count })
    }
}

/// A message that cannot be understood.
public struct InvalidMessage: Error, CustomStringConvertible {
    /// What is wrong with it, for the log or the reply.
    public let reason: String
    /// Whether the connection must be closed, because there is no telling what follows. Otherwise only a document in
    /// the message is broken, and the request can be answered with `InvalidBSON` (22).
    public let isFramingLost: Bool
    public var description: String { reason }

    static func closing(_ reason: String) -> InvalidMessage { InvalidMessage(reason: reason, isFramingLost: true) }
    static func answering(_ reason: String) -> InvalidMessage { InvalidMessage(reason: reason, isFramingLost: false) }
}

extension Request {
    /// Parses one whole message, header included. Reads nothing outside of it and allocates nothing for OP_MSG.
    public init(_ message: UnsafeRawBufferPointer) throws(InvalidMessage) {
        guard message.count >= MessageHeader.byteCount, let base = message.baseAddress else {
            throw .closing("message shorter than its header")
        }
        let header = MessageHeader(at: base)
        guard Int(header.messageLength) == message.count else { throw .closing("message length does not match") }
        switch header.opCode {
        case OpCode.message: try self.init(message: message, header: header)
        case OpCode.query: try self.init(query: message, header: header)
        case OpCode.compressed: throw .closing("a compressed message inside another message")
        default: throw .closing("unsupported operation code \(header.opCode)")
        }
    }

    private init(message: UnsafeRawBufferPointer, header: MessageHeader) throws(InvalidMessage) {
        let base = message.baseAddress!
        var end = message.count
        guard end >= MessageHeader.byteCount + 5 else { throw .closing("OP_MSG without a section") }
        let flags = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        let known = MessageFlags.checksumPresent | MessageFlags.moreToCome
        guard flags & 0xFFFF & ~known == 0 else { throw .closing("OP_MSG with unknown required flags \(flags)") }
        if flags & MessageFlags.checksumPresent != 0 {
            end -= 4
            guard end >= MessageHeader.byteCount + 5 else { throw .closing("OP_MSG without a section") }
            let stated = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: end, as: UInt32.self))
            guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: message[..<end])) == stated else {
                throw .closing("OP_MSG with a wrong checksum")
            }
        }
        var body: DocumentView?
        var first: DocumentSequence?
        var second: DocumentSequence?
        var at = MessageHeader.byteCount + 4
        while at < end {
            let kind = base.load(fromByteOffset: at, as: UInt8.self)
            at += 1
            let rest = UnsafeRawBufferPointer(start: base + at, count: end - at)
            switch kind {
            case 0:
                guard body == nil else { throw .closing("OP_MSG with two body sections") }
                let view = try Request.validated(rest)
                body = view
                at += view.byteCount
            case 1:
                let (sequence, length) = try Request.parseSequence(rest)
                if first == nil {
                    first = sequence
                } else if second == nil, let first, first.identifier == sequence.identifier {
                    throw .closing("OP_MSG with two document sequences of one name")
                } else if second == nil {
                    second = sequence
                } else {
                    throw .closing("OP_MSG with more than two document sequences")
                }
                at += length
            default: throw .closing("OP_MSG with unknown section kind \(kind)")
            }
        }
        guard let body else { throw .closing("OP_MSG without a body section") }
        self.init(
            form: .message, requestID: header.requestID, flags: flags, body: body, queryNamespace: nil,
            querySecondaryOk: false, firstSequence: first, secondSequence: second)
    }

    /// Validates the document at the start of `bytes`. Broken contents can be answered; a broken length cannot.
    private static func validated(_ bytes: UnsafeRawBufferPointer) throws(InvalidMessage) -> DocumentView {
        guard bytes.count >= 5 else { throw .closing("document shorter than 5 bytes") }
        let length = Int(Int32(littleEndian: bytes.baseAddress!.loadUnaligned(as: Int32.self)))
        guard length >= 5, length <= bytes.count else { throw .closing("document length \(length) out of range") }
        do {
            return try DocumentView.validate(UnsafeRawBufferPointer(start: bytes.baseAddress, count: length))
        } catch {
            throw .answering("invalid BSON: \(error)")
        }
    }

    private static func parseSequence(
        _ bytes: UnsafeRawBufferPointer
    ) throws(InvalidMessage) -> (DocumentSequence, length: Int) {
        guard bytes.count >= 5, let base = bytes.baseAddress else { throw .closing("document sequence cut short") }
        let length = Int(Int32(littleEndian: base.loadUnaligned(as: Int32.self)))
        guard length >= 5, length <= bytes.count else { throw .closing("document sequence length out of range") }
        var at = 4
        while at < length, base.load(fromByteOffset: at, as: UInt8.self) != 0 { at += 1 }
        guard at < length else { throw .closing("document sequence without a name") }
        let identifier = KeyView(base: base + 4, count: at - 4)
        at += 1
        let start = at
        var count = 0
        while at < length {
            let view = try validated(UnsafeRawBufferPointer(start: base + at, count: length - at))
            at += view.byteCount
            count += 1
        }
        let documents = UnsafeRawBufferPointer(start: base + start, count: length - start)
        return (DocumentSequence(identifier: identifier, bytes: documents, count: count), length)
    }

    private init(query message: UnsafeRawBufferPointer, header: MessageHeader) throws(InvalidMessage) {
        let base = message.baseAddress!
        let end = message.count
        guard end >= MessageHeader.byteCount + 4 else { throw .closing("OP_QUERY cut short") }
        let flags = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        var at = MessageHeader.byteCount + 4
        let nameStart = at
        while at < end, base.load(fromByteOffset: at, as: UInt8.self) != 0 { at += 1 }
        guard at < end else { throw .closing("OP_QUERY without a namespace") }
        let name = KeyView(base: base + nameStart, count: at - nameStart)
        at += 1 + 8
        guard at < end else { throw .closing("OP_QUERY cut short") }
        let body = try Request.validated(UnsafeRawBufferPointer(rebasing: message[at...]))
        self.init(
            form: .query, requestID: header.requestID, flags: 0, body: body, queryNamespace: name,
            querySecondaryOk: flags & 4 != 0, firstSequence: nil, secondSequence: nil)
    }
}
