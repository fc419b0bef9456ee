internal import BSON

/// One member of a replica set to be built.
public struct Member: Sendable {
    /// The higher, the sooner it becomes primary; 0 never does.
    public var priority: Double
    /// Whether it has a vote.
    public var votes: Bool
    /// Names that read preferences and write concerns refer to.
    public var tags: [String: String]
    /// Whether clients are not shown it. Needs priority 0.
    public var isHidden: Bool
    /// Whether it holds data; an arbiter only votes.
    public private(set) var holdsData = true

    public init(priority: Double = 1, votes: Bool = true, tags: [String: String] = [:], isHidden: Bool = false) {
        self.priority = priority
        self.votes = votes
        self.tags = tags
        self.isHidden = isHidden
    }

    /// A member that votes and holds no data.
    public static var arbiter: Member {
        var member = Member(priority: 0)
        member.holdsData = false
        return member
    }

    /// Its entry of a set's configuration.
    func configuration(id: Int, host: String) -> Document {
        var entry: Document = ["_id": .int32(Int32(id)), "host": .string(host)]
        if !holdsData { entry.append("arbiterOnly", true) }
        if priority != 1 { entry.append("priority", .double(priority)) }
        if !votes { entry.append("votes", 0) }
        if isHidden { entry.append("hidden", true) }
        if !tags.isEmpty {
            var names = Document()
            for (name, value) in tags.sorted(by: { $0.key < $1.key }) { names.append(name, .string(value)) }
            entry.append("tags", .document(names))
        }
        return entry
    }
}

/// Collects the members of a set; loops and conditions are allowed.
@resultBuilder
public enum MembersBuilder {
    public static func buildExpression(_ member: Member) -> [Member] { [member] }
    public static func buildBlock(_ members: [Member]...) -> [Member] { members.flatMap { $0 } }
    public static func buildOptional(_ members: [Member]?) -> [Member] { members ?? [] }
    public static func buildEither(first members: [Member]) -> [Member] { members }
    public static func buildEither(second members: [Member]) -> [Member] { members }
    public static func buildArray(_ members: [[Member]]) -> [Member] { members.flatMap { $0 } }
}
