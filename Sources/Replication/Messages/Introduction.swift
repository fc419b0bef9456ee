public import BSON
public import Core

/// `internalMember` of the `hello` with which a member begins a connection to another one: who it is.
public struct Introduction: Sendable, Equatable {
    public var setName: String
    /// nil without a place in a configuration.
    public var memberID: MemberID?
    public var incarnation: Incarnation

    public init(setName: String, memberID: MemberID?, incarnation: Incarnation) {
        self.setName = setName
        self.memberID = memberID
        self.incarnation = incarnation
    }

    /// Writes the whole `hello`.
    public func encode(to writer: DocumentWriter) {
        writer.append("hello", int32: 1)
        writer.document("internalMember") {
            $0.append("setName", string: setName)
            $0.append("memberId", int32: memberID ?? -1)
            $0.document("incarnation") { incarnation.encode(to: $0) }
        }
    }

    /// Reads the introduction in a `hello`; nil when there is none, because a client sent it.
    public static func decode(_ hello: DocumentView) throws(ServerError) -> Introduction? {
        let fields = MessageFields(hello, "hello")
        return try fields.optional("internalMember", fields.document).map { view throws(ServerError) in
            try Introduction(MessageFields(view, "internalMember"))
        }
    }

    private init(_ fields: MessageFields) throws(ServerError) {
        setName = try fields.string("setName")
        memberID = try fields.memberID("memberId")
        incarnation = try fields.incarnation("incarnation")
    }
}
