import Core

/// All entries that any member's log has ever held, as a tree: an optime names one entry, and one entry comes before
/// it.
struct LogHistory {
    private struct Entry {
        let hash: UInt64
        /// The entry before it; null where only logs were seen that begin here.
        var previous: OpTime
    }

    private var entries: [OpTime: Entry] = [:]
    private(set) var compared: UInt64 = 0
    /// The chain that `isPrefix` has walked last, for the end that it walked from.
    private var chainEnd = OpTime.null
    private var chain: Set<OpTime> = []

    func isKnown(_ optime: OpTime) -> Bool { entries[optime] != nil }
    /// nil for an unknown entry; null for one whose predecessor was never seen.
    func previous(_ optime: OpTime) -> OpTime? { entries[optime]?.previous }

    /// Takes in what a log holds at `optime`. Returns what is wrong with it.
    mutating func add(_ optime: OpTime, after previous: OpTime, hash: UInt64) -> String? {
        compared += 1
        guard var known = entries[optime] else {
            entries[optime] = Entry(hash: hash, previous: previous)
            return nil
        }
        if known.hash != hash { return "the entry \(optime) differs from another member's" }
        if known.previous.isNull {
            known.previous = previous
            entries[optime] = known
        } else if !previous.isNull, previous != known.previous {
            return "before \(optime) it has \(previous), another member \(known.previous)"
        }
        return nil
    }

    /// Whether `optime` is on the branch that ends at `end`.
    mutating func isPrefix(_ optime: OpTime, of end: OpTime) -> Bool {
        guard optime <= end else { return false }
        if chainEnd != end {
            chain = []
            var next = end
            while !next.isNull, chain.insert(next).inserted { next = entries[next]?.previous ?? .null }
            chainEnd = end
        }
        return chain.contains(optime)
    }
}
