import BSON
import Core

/// What a waiter waits for, without its target: waiters of one kind are satisfied in the order of their targets.
enum WaitKind: Hashable, Sendable {
    case write(WriteConcern.Acknowledgement, journal: Bool?)
    /// This member has applied the entry. Targets are timestamps; the term is 0.
    case applied
    /// The commit point covers the entry. Targets are timestamps; the term is 0.
    case committed

    var isWrite: Bool { if case .write = self { true } else { false } }
}

/// Everyone who waits for replication. A step costs as many comparisons as there are kinds of wait, and then only those
/// who are done; ten thousand waiters of one kind cost what one does.
struct WaiterTable: Sendable {
    struct Entry: Sendable {
        let target: OpTime
        let id: WaiterID
    }
    /// Waiters of one kind in the order of their targets; those before `head` are gone.
    struct Queue: Sendable {
        let kind: WaitKind
        var entries: [Entry] = []
        var head = 0
        /// Entries behind `head` whose waiter has left.
        var dead = 0
    }

    private(set) var queues: [Queue] = []
    /// The queue of each waiter that still waits. Never iterated.
    private var live: [WaiterID: Int] = [:]
    /// A binary heap; entries of waiters that have left are skipped when they surface.
    private var deadlines: [(at: Instant, id: WaiterID)] = []

    var count: Int { live.count }
    var nextDeadline: Instant? { deadlines.first?.at }

    mutating func insert(_ id: WaiterID, _ kind: WaitKind, target: OpTime, deadline: Instant?) {
        let place = queues.firstIndex { $0.kind == kind } ?? queues.count
        if place == queues.count { queues.append(Queue(kind: kind)) }
        live[id] = place
        let entry = Entry(target: target, id: id)
        // Targets almost always grow.
        if let last = queues[place].entries.last, queues[place].head < queues[place].entries.count, target < last.target
        {
            var low = queues[place].head
            var high = queues[place].entries.count
            while low < high {
                let middle = (low + high) / 2
                if queues[place].entries[middle].target <= target { low = middle + 1 } else { high = middle }
            }
            queues[place].entries.insert(entry, at: low)
        } else {
            queues[place].entries.append(entry)
        }
        if let deadline { push(deadline, id) }
    }

    /// Takes out the first waiter of queue `place` whose target is reached.
    mutating func popReached(_ place: Int, _ reached: OpTime) -> WaiterID? {
        while queues[place].head < queues[place].entries.count {
            let entry = queues[place].entries[queues[place].head]
            guard live[entry.id] != nil else {
                queues[place].head += 1
                queues[place].dead -= 1
                continue
            }
            guard entry.target <= reached else { break }
            queues[place].head += 1
            live[entry.id] = nil
            return entry.id
        }
        compact(place)
        return nil
    }

    /// Takes out a waiter, wherever it stands.
    mutating func remove(_ id: WaiterID) -> Bool {
        guard let place = live.removeValue(forKey: id) else { return false }
        queues[place].dead += 1
        compact(place)
        return true
    }

    /// Takes out a waiter whose time is up.
    mutating func popExpired(_ now: Instant) -> WaiterID? {
        while let first = deadlines.first, first.at <= now || live[first.id] == nil {
            popDeadline()
            if remove(first.id) { return first.id }
        }
        return nil
    }

    /// Takes out all waiters of queue `place`, in order.
    mutating func removeAll(_ place: Int) -> [WaiterID] {
        let ids = queues[place].entries[queues[place].head...].compactMap { live[$0.id] == nil ? nil : $0.id }
        for id in ids { live[id] = nil }
        queues[place].entries = []
        queues[place].head = 0
        queues[place].dead = 0
        return ids
    }

    private mutating func compact(_ place: Int) {
        let queue = queues[place]
        if queue.head == queue.entries.count {
            queues[place].entries.removeAll(keepingCapacity: true)
            queues[place].head = 0
            queues[place].dead = 0
        } else if queue.head > 64, queue.head * 2 > queue.entries.count {
            queues[place].entries.removeFirst(queue.head)
            queues[place].head = 0
        } else if queue.dead > 64, queue.dead * 2 > queue.entries.count - queue.head {
            queues[place].entries = queue.entries[queue.head...].filter { live[$0.id] != nil }
            queues[place].head = 0
            queues[place].dead = 0
        }
    }

    // MARK: The heap

    private mutating func push(_ at: Instant, _ id: WaiterID) {
        deadlines.append((at, id))
        var child = deadlines.count - 1
        while child > 0, deadlines[child].at < deadlines[(child - 1) / 2].at {
            deadlines.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func popDeadline() {
        deadlines.swapAt(0, deadlines.count - 1)
        deadlines.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < deadlines.count {
                if deadlines[child].at < deadlines[least].at { least = child }
            }
            guard least != parent else { return }
            deadlines.swapAt(least, parent)
            parent = least
        }
    }
}
