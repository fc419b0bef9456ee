/// What the world does next for one node.
struct Event {
    enum Action {
        case job(UnownedJob)
        case body(() -> Void)
        /// The body is in the timer's slot, so that the timer can be cancelled until the moment it runs.
        case timer(slot: UInt32)
    }

    /// Index of the runtime in the world.
    let runtime: Int32
    let kind: TraceEvent.Kind
    /// What tells this event from others of its kind in the trace.
    let payload: UInt64
    let action: Action
}

/// A first-in, first-out queue on memory of its own; the world's hot path.
struct EventRing: ~Copyable {
    private var storage: UnsafeMutablePointer<Event>
    private var capacity: Int
    private var head = 0
    private(set) var count = 0

    init(capacity: Int = 64) {
        self.capacity = capacity
        storage = .allocate(capacity: capacity)
    }

    deinit {
        for index in 0..<count { (storage + ((head + index) & (capacity - 1))).deinitialize(count: 1) }
        storage.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ event: consuming Event) {
        if count == capacity { grow() }
        (storage + ((head + count) & (capacity - 1))).initialize(to: event)
        count += 1
    }

    mutating func popFirst() -> Event? {
        guard count > 0 else { return nil }
        let event = (storage + head).move()
        head = (head + 1) & (capacity - 1)
        count -= 1
        return event
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Event>.allocate(capacity: capacity * 2)
        for index in 0..<count {
            (larger + index).initialize(to: (storage + ((head + index) & (capacity - 1))).move())
        }
        storage.deallocate()
        storage = larger
        head = 0
        capacity *= 2
    }
}

/// The world's timers by (deadline, sequence). A cancelled timer keeps its place until it comes up or half are
/// cancelled.
struct TimerQueue {
    private struct Entry {
        let time: Int64
        let sequence: UInt64
        let slot: UInt32

        @inline(__always) static func < (a: Entry, b: Entry) -> Bool {
            a.time != b.time ? a.time < b.time : a.sequence < b.sequence
        }
    }

    private struct Slot {
        var generation: UInt32
        var runtime: Int32
        var kind: TraceEvent.Kind
        var payload: UInt64
        var body: (() -> Void)?
        /// False once its time has come: it then waits in a ready queue.
        var isInHeap = false
    }

    private var heap: [Entry] = []
    private var slots: [Slot] = []
    private var free: [UInt32] = []
    private var sequence: UInt64 = 0
    /// Entries of `heap` whose timer was cancelled.
    private var cancelledCount = 0

    var count: Int { heap.count - cancelledCount }
    /// The earliest deadline, a cancelled timer's included.
    var firstTime: Int64? { heap.first?.time }

    /// Puts `body` into a slot without setting a timer: for a deadline that has come.
    mutating func occupySlot(
        runtime: Int32, kind: TraceEvent.Kind, payload: UInt64, body: @escaping () -> Void
    ) -> (slot: UInt32, token: UInt64) {
        if let slot = free.popLast() {
            let index = Int(slot)
            slots[index].runtime = runtime
            slots[index].kind = kind
            slots[index].payload = payload
            slots[index].body = body
            return (slot, UInt64(slots[index].generation) << 32 | UInt64(slot))
        }
        let slot = UInt32(slots.count)
        slots.append(Slot(generation: 1, runtime: runtime, kind: kind, payload: payload, body: body))
        return (slot, 1 << 32 | UInt64(slot))
    }

    mutating func insert(slot: UInt32, at time: Int64) {
        sequence += 1
        slots[Int(slot)].isInHeap = true
        heap.append(Entry(time: time, sequence: sequence, slot: slot))
        siftUp(heap.count - 1)
    }

    /// Takes the earliest entry; nil when it had been cancelled.
    mutating func popFirst() -> Event? {
        let entry = heap[0]
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        slots[Int(entry.slot)].isInHeap = false
        let slot = slots[Int(entry.slot)]
        guard slot.body != nil else {
            cancelledCount -= 1
            release(entry.slot)
            return nil
        }
        return Event(runtime: slot.runtime, kind: slot.kind, payload: slot.payload, action: .timer(slot: entry.slot))
    }

    /// Takes the body of a timer whose time has come and frees its slot; nil when it was cancelled.
    mutating func takeBody(slot: UInt32) -> (() -> Void)? {
        let body = slots[Int(slot)].body
        release(slot)
        return body
    }

    mutating func cancel(_ token: UInt64) {
        let index = Int(token & 0xFFFF_FFFF)
        guard index < slots.count, UInt64(slots[index].generation) == token >> 32, slots[index].body != nil else {
            return
        }
        slots[index].body = nil
        // The slot itself is freed when its entry comes up, in the heap or in the ready queue.
        guard slots[index].isInHeap else { return }
        cancelledCount += 1
        if cancelledCount > 64, cancelledCount > heap.count / 2 { dropCancelled() }
    }

    private mutating func release(_ slot: UInt32) {
        slots[Int(slot)].body = nil
        slots[Int(slot)].isInHeap = false
        slots[Int(slot)].generation &+= 1
        free.append(slot)
    }

    private mutating func dropCancelled() {
        var kept: [Entry] = []
        for entry in heap {
            if slots[Int(entry.slot)].body == nil { release(entry.slot) } else { kept.append(entry) }
        }
        heap = kept
        cancelledCount = 0
        for index in stride(from: heap.count / 2, through: 0, by: -1) where index < heap.count { siftDown(index) }
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry < heap[parent] else { break }
            heap[index] = heap[parent]
            index = parent
        }
        heap[index] = entry
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = heap[index]
        while true {
            var child = index * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < entry else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = entry
    }
}
