public import BSON
public import Core

/// A request from one member of a replica set to another. Not a plug point: the protocol is the project's own.
///
/// `encode` and `init(decoding:)` are each other's inverse. What is decoded came over a socket: a field that is
/// missing, of the wrong type or out of range is an error (`FailedToParse`, which names the field), never a trap.
public protocol MemberRequest {
    associatedtype Reply: MemberReply
    /// Writes the command, its name first.
    func encode(to writer: DocumentWriter)
    init(decoding view: DocumentView) throws(ServerError)
}

/// What such a request is answered with. Documents and blocks of entries in it stay where they are in the message: they
/// are valid as long as that is.
public protocol MemberReply {
    init(decoding view: DocumentView) throws(ServerError)
}

/// An answer that says no more than that the request was carried out.
public struct EmptyReply: MemberReply, Sendable, Equatable {
    public init() {}
    public init(decoding view: DocumentView) throws(ServerError) {}
}
