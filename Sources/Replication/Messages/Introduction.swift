public import BSON
public import Core

/// `internalMember` of the `hello` with which a member begins a connection to another one: who it is. A backup begins
/// its connections so, too: it copies as members do, and is none.
public struct Introduction: Sendable, Equatable {
    public var setName: String
    /// nil without a place in a configuration.
    public var memberID: MemberID?
    public var incarnation: Incarnation
    public var isBackup: Bool

    public init(setName: String, memberID: MemberID?, incarnation: Incarnation, isBackup: Bool = false) {
        self.isBackup = isBackup
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
            if isBackup { $0.append("backup", bool: true) }
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
        isBackup = try fields.optional("backup", fields.bool) ?? false
    }
}
