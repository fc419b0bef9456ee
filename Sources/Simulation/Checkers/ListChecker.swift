import BSON
import Core

/// Compares a history of lists with the lists that are there in the end. Each check returns what is wrong, or nil.
struct ListChecker {
    let history: ListHistory
    /// The lists in the end, on every member.
    let final: [ListHistory.Key: [Int64]]
    /// Place of each value in its list.
    private let place: [Int64: Int]
    private let append: [Int64: ListHistory.Append]

    /// - Parameter final: nil when the set is unavailable for good; then the longest list that a majority read has
    ///   shown stands for it, and acknowledged writes may be missing.
    init(_ history: ListHistory, final given: [ListHistory.Key: [Int64]]?) {
        self.history = history
        var lists = given ?? [:]
        if given == nil {
            for read in history.reads where read.concern != .local {
                if read.list.count > lists[read.key]?.count ?? 0 { lists[read.key] = read.list }
            }
        }
        final = lists
        var place: [Int64: Int] = [:]
        for (_, list) in Self.inOrder(lists) { for (index, value) in list.enumerated() { place[value] = index } }
        self.place = place
        append = Dictionary(uniqueKeysWithValues: history.appends.map { ($0.value, $0) })
    }

    private static func inOrder<T>(_ lists: [ListHistory.Key: T]) -> [(key: ListHistory.Key, value: T)] {
        lists.sorted { $0.key < $1.key }
    }

    /// All that is promised. `isComplete`: the final lists are those of an available set.
    func check(isComplete: Bool) -> String? {
        duplicates() ?? (isComplete ? lost() : nil) ?? inventions() ?? rolledBackReads() ?? linearizability()
            ?? causality() ?? snapshots()
    }

    /// No value is twice in a list, in the end or in any read: a retried write happened once (I15).
    func duplicates() -> String? {
        for (key, list) in Self.inOrder(final) where Set(list).count != list.count {
            return "an append to list \(key) was applied twice: \(list)"
        }
        for read in history.reads where Set(read.list).count != read.list.count {
            return "a \(read.concern) read of list \(read.key) shows an append twice: \(read.list)"
        }
        return nil
    }

    /// Every append that was acknowledged by a majority is there (I5).
    func lost() -> String? {
        for append in history.appends where append.acknowledged != nil && place[append.value] == nil {
            return "the append of \(append.value) to list \(append.key) was acknowledged by a majority and is lost"
        }
        return nil
    }

    func inventions() -> String? {
        for (key, list) in Self.inOrder(final) {
            for value in list where append[value]?.key != key {
                return "list \(key) holds \(value), which nobody wrote"
            }
        }
        return nil
    }

    /// What a read with a concern above local has shown is still there (I12).
    func rolledBackReads() -> String? {
        for read in history.reads where read.concern != .local {
            let list = final[read.key] ?? []
            if !list.starts(with: read.list) {
                return "a \(read.concern) read of list \(read.key) showed \(read.list), and the list became \(list)"
            }
        }
        return nil
    }

    // MARK: Linearizability

    /// Lists are linearizable for linearizable reads and acknowledged appends (I13). The final list is the order of the
    /// appends, and a read's length is its place among them, so the only possible order of all is known; it must not
    /// contradict what was over before something else began.
    func linearizability() -> String? {
        var events: [(tick: Int, key: Int, what: Event)] = []
        for append in history.appends {
            guard let place = place[append.value] else { continue }
            events.append((append.invoked, append.key, .begin(place: place, isRead: false)))
            if let end = append.acknowledged { events.append((end, append.key, .end(shows: place + 1))) }
        }
        for read in history.reads where read.concern == .linearizable {
            events.append((read.invoked, read.key, .begin(place: read.list.count, isRead: true)))
            events.append((read.answered, read.key, .end(shows: read.list.count)))
        }
        events.sort { $0.tick < $1.tick }
        // What has been seen for certain, by list: everything that begins later sees at least that.
        var seen: [Int: Int] = [:]
        var invoked: [Place: Int] = [:]
        for append in history.appends {
            if let place = place[append.value] { invoked[Place(key: append.key, index: place)] = append.invoked }
        }
        for event in events {
            let floor = seen[event.key] ?? 0
            switch event.what {
            case .begin(let place, let isRead):
                if place < floor {
                    return isRead
                        ? "a linearizable read of list \(event.key) shows \(place) appends after \(floor) had been seen"
                        : "an append to list \(event.key) took place \(place) after \(floor) had been seen"
                }
            case .end(let shows):
                // Nobody sees what was not yet asked for.
                if shows > 0, let begun = invoked[Place(key: event.key, index: shows - 1)], begun > event.tick {
                    return "list \(event.key) showed an append before it was invoked"
                }
                seen[event.key] = max(floor, shows)
            }
        }
        return nil
    }

    /// Where an append stands.
    private struct Place: Hashable {
        let key: ListHistory.Key
        let index: Int
    }

    private enum Event {
        /// `place`: an append's place, or how many appends a read shows.
        case begin(place: Int, isRead: Bool)
        /// Whoever begins after this sees at least so many.
        case end(shows: Int)
    }

    // MARK: Causal consistency

    /// Sessions see what they wrote and saw, and what those who wrote it had seen (I14), with majority concerns, on any
    /// member.
    func causality() -> String? {
        enum Step { case invoke(ListHistory.Append), acknowledge(ListHistory.Append), read(ListHistory.Read) }
        var steps: [(tick: Int, step: Step)] = []
        for append in history.appends where append.session != nil {
            steps.append((append.invoked, .invoke(append)))
            if let end = append.acknowledged { steps.append((end, .acknowledge(append))) }
        }
        for read in history.reads where read.session != nil && read.concern == .majority {
            steps.append((read.answered, .read(read)))
        }
        steps.sort { $0.tick < $1.tick }
        /// How much of each list a session must see.
        var needs: [Int: [Int: Int]] = [:]
        /// What the writer of a value had to see.
        var basis: [Int64: [Int: Int]] = [:]
        for (_, step) in steps {
            switch step {
            case .invoke(let append): basis[append.value] = needs[append.session ?? 0] ?? [:]
            case .acknowledge(let append):
                guard let place = place[append.value] else { continue }
                raise(&needs[append.session ?? 0, default: [:]], append.key, to: place + 1)
            case .read(let read):
                let session = read.session ?? 0
                let need = needs[session]?[read.key] ?? 0
                if read.list.count < need {
                    return "causal session \(session) read \(read.list.count) appends of list \(read.key) and must see "
                        + "\(need)"
                }
                raise(&needs[session, default: [:]], read.key, to: read.list.count)
                for value in read.list {
                    for (key, count) in Self.inOrder(basis[value] ?? [:]) {
                        raise(&needs[session, default: [:]], key, to: count)
                    }
                }
            }
        }
        return nil
    }

    private func raise(_ needs: inout [Int: Int], _ key: Int, to count: Int) {
        needs[key] = max(needs[key] ?? 0, count)
    }

    // MARK: Snapshots

    /// A list has one state at one time, wherever it is read, and only grows (I12).
    func snapshots() -> String? {
        let reads = history.reads.filter { $0.time != nil }
            .sorted { ($0.key, $0.time ?? .zero, $0.answered) < ($1.key, $1.time ?? .zero, $1.answered) }
        for (a, b) in zip(reads, reads.dropFirst()) where a.key == b.key {
            if a.time == b.time, a.list.count != b.list.count {
                return "list \(a.key) had \(a.list.count) and \(b.list.count) appends at \(a.time ?? .zero)"
            }
            if a.list.count > b.list.count {
                return "list \(a.key) had \(a.list.count) appends at \(a.time ?? .zero), and later \(b.list.count)"
            }
        }
        return nil
    }
}
