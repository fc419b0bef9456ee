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
    /// It applies what is that old, in whole seconds: its data are a look back. Needs priority 0.
    public var delay: Duration
    /// Whether it holds data; an arbiter only votes.
    public private(set) var holdsData = true

    /// A member that holds data and can become primary, unless told otherwise.
    public init(
        priority: Double = 1, votes: Bool = true, tags: [String: String] = [:], isHidden: Bool = false,
        delay: Duration = .zero
    ) {
        self.priority = priority
        self.votes = votes
        self.tags = tags
        self.isHidden = isHidden
        self.delay = delay
    }

    /// A member that never becomes primary.
    public static func passive(tags: [String: String] = [:]) -> Member { Member(priority: 0, tags: tags) }

    /// A member that clients are not shown and that never becomes primary: for backups and reports.
    public static func hidden(tags: [String: String] = [:]) -> Member {
        Member(priority: 0, tags: tags, isHidden: true)
    }

    /// A hidden member whose data are `delay` old: against mistakes that replication would spread. It has no vote, so
    /// that no majority has to wait for it.
    public static func delayed(by delay: Duration, tags: [String: String] = [:]) -> Member {
        Member(priority: 0, votes: false, tags: tags, isHidden: true, delay: delay)
    }

    /// A member that holds data and has no vote: a set has at most 7 votes and 50 members.
    public static func withoutVote(tags: [String: String] = [:]) -> Member {
        Member(priority: 0, votes: false, tags: tags)
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
        if delay > .zero { entry.append("secondaryDelaySecs", .int64(delay.components.seconds)) }
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
