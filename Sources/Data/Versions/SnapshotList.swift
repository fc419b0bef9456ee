import BSON

/// The open snapshots, oldest time first.
struct SnapshotList {
    private var tokens: [SnapshotToken] = []
    private var nextID: UInt64 = 1

    var oldest: Timestamp? { tokens.first?.timestamp }
    var count: Int { tokens.count }

    mutating func open(at timestamp: Timestamp) -> SnapshotToken {
        let token = SnapshotToken(id: nextID, timestamp: timestamp)
        nextID += 1
        tokens.insert(token, at: position(of: token))
        return token
    }

    mutating func close(_ token: SnapshotToken) {
        if contains(token) { tokens.remove(at: position(of: token)) }
    }

    func contains(_ token: SnapshotToken) -> Bool {
        let at = position(of: token)
        return at < tokens.count && tokens[at] == token
    }

    mutating func closeOldest() {
        if !tokens.isEmpty { tokens.removeFirst() }
    }

    mutating func removeAll() { tokens.removeAll() }
    mutating func removeAll(after timestamp: Timestamp) { tokens.removeAll { $0.timestamp > timestamp } }

    /// Where the token is, or belongs: ordered by time, then by id.
    private func position(of token: SnapshotToken) -> Int {
        var low = 0
        var high = tokens.count
        while low < high {
            let middle = (low + high) / 2
            let other = tokens[middle]
            if (other.timestamp.rawValue, other.id) < (token.timestamp.rawValue, token.id) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}
