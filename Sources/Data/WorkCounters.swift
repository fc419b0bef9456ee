/// What a node's data layer has done for clients since its start.
public struct WorkCounters: Sendable {
    /// Documents that writes have changed, and that reads have given back.
    public var inserted: Int64 = 0
    public var updated: Int64 = 0
    public var deleted: Int64 = 0
    public var returned: Int64 = 0
    /// Index keys and documents that queries have looked at.
    public var keysExamined: Int64 = 0
    public var documentsExamined: Int64 = 0
    /// Queries that had to sort what they found.
    public var sorted: Int64 = 0

    public init() {}
}

/// How often and how long commands have used one collection: `top`.
public struct CollectionUsage: Sendable {
    /// What a command did, in the words of `top`.
    public enum Kind: Int, CaseIterable, Sendable {
        case queries, getmore, insert, update, remove, commands
    }

    /// Uses of one kind, and how long they took together.
    public struct Total: Sendable {
        public var count: Int64 = 0
        public var nanoseconds: Int64 = 0

        public init() {}
    }

    private var totals = [Total](repeating: Total(), count: Kind.allCases.count)

    /// What was counted of one kind.
    public subscript(kind: Kind) -> Total { totals[kind.rawValue] }

    @inline(__always)
    public mutating func note(_ kind: Kind, nanoseconds: Int64) {
        totals[kind.rawValue].count &+= 1
        totals[kind.rawValue].nanoseconds &+= nanoseconds
    }
}
