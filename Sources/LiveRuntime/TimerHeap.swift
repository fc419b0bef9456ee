import Core

/// The timers of one loop: a binary heap by deadline, then by the order in which they were set.
///
/// Setting and cancelling cost O(log n). A token names a slot and its generation, so a token of a timer that has fired
/// never reaches the timer that took its slot.
struct TimerHeap {
    private struct Entry {
        var deadline: Instant
        var sequence: UInt64
        var slot: Int

        func isBefore(_ other: Entry) -> Bool {
            deadline != other.deadline ? deadline < other.deadline : sequence < other.sequence
        }
    }

    private struct Slot {
        var generation: UInt32 = 0
        var position = -1
        var body: (() -> Void)?
    }

    private var heap: [Entry] = []
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    /// The sequence number that the next timer gets.
    private(set) var nextSequence: UInt64 = 0

    var count: Int { heap.count }
    var earliest: Instant? { heap.first?.deadline }

    mutating func insert(at deadline: Instant, _ body: @escaping () -> Void) -> TimerToken {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = slots.count
            slots.append(Slot())
        }
        slots[slot].body = body
        heap.append(Entry(deadline: deadline, sequence: nextSequence, slot: slot))
        nextSequence &+= 1
        siftUp(from: heap.count - 1)
        return TimerToken(id: UInt64(slots[slot].generation) << 32 | UInt64(slot))
    }

    mutating func remove(_ token: TimerToken) {
        let slot = Int(token.id & 0xFFFF_FFFF)
        guard slot < slots.count, slots[slot].generation == UInt32(token.id >> 32), slots[slot].body != nil else {
            return
        }
        _ = take(at: slots[slot].position)
    }

    /// Takes the earliest timer if it is due at `now` and was set before sequence number `limit`, so that a timer that
    /// sets itself again with no delay does not hold the loop.
    mutating func popDue(at now: Instant, setBefore limit: UInt64) -> (() -> Void)? {
        guard let first = heap.first, first.deadline <= now, first.sequence < limit else { return nil }
        return take(at: 0)
    }

    mutating func removeAll() {
        while !heap.isEmpty { _ = take(at: heap.count - 1) }
    }

    private mutating func take(at position: Int) -> (() -> Void)? {
        let slot = heap[position].slot
        let body = slots[slot].body.take()
        slots[slot].generation &+= 1
        slots[slot].position = -1
        freeSlots.append(slot)
        let last = heap.removeLast()
        if position < heap.count {
            heap[position] = last
            slots[last.slot].position = position
            siftDown(from: position)
            siftUp(from: position)
        }
        return body
    }

    private mutating func siftUp(from start: Int) {
        var position = start
        let entry = heap[position]
        while position > 0 {
            let parent = (position - 1) / 2
            guard entry.isBefore(heap[parent]) else { break }
            place(heap[parent], at: position)
            position = parent
        }
        place(entry, at: position)
    }

    private mutating func siftDown(from start: Int) {
        var position = start
        let entry = heap[position]
        while true {
            var child = position * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(entry) else { break }
            place(heap[child], at: position)
            position = child
        }
        place(entry, at: position)
    }

    private mutating func place(_ entry: Entry, at position: Int) {
        heap[position] = entry
        slots[entry.slot].position = position
    }
}
