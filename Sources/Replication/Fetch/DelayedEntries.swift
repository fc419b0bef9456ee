public import BSON
public import Core

/// What a delayed member has fetched and may not apply yet: entries of its sync source, in order, as many as fit a
/// named limit. Without a delay it stays empty.
public struct DelayedEntries: Sendable {
    private struct Entry: Sendable {
        let optime: OpTime
        let wall: WallTime
        let bytes: [UInt8]
    }
    private var entries: [Entry] = []
    /// Entries before it have been taken out.
    private var head = 0
    private var byteCount = 0

    init() {}

    public var isEmpty: Bool { head == entries.count }
    public var count: Int { entries.count - head }
    /// No more is fetched until something has been applied.
    var isFull: Bool { byteCount >= Limits.delayedEntriesBytes }
    /// The newest entry that is held: fetching goes on behind it.
    public var last: OpTime? { isEmpty ? nil : entries[entries.count - 1].optime }

    /// Copies the entry.
    public mutating func append(_ bytes: UnsafeRawBufferPointer, _ optime: OpTime, wall: WallTime) {
        entries.append(Entry(optime: optime, wall: wall, bytes: Array(bytes)))
        byteCount += bytes.count
    }

    /// How long the first entry has to wait still; zero when it may be applied, nil when there is none.
    public func wait(for delay: Duration, at wallClock: WallTime) -> Duration? {
        guard !isEmpty else { return nil }
        let age = wallClock.milliseconds - entries[head].wall.milliseconds
        return max(.zero, delay - .milliseconds(age))
    }

    /// Calls `body` with the first entry.
    public func withFirst<R>(_ body: (DocumentView, OpTime) throws -> R) rethrows -> R? {
        guard !isEmpty else { return nil }
        let entry = entries[head]
        return try entry.bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            return try body(DocumentView(base: base), entry.optime)
        }
    }

    /// Takes out what has been applied.
    public mutating func removeFirst() {
        guard !isEmpty else { return }
        byteCount -= entries[head].bytes.count
        head += 1
        if isEmpty {
            removeAll()
        } else if head > 1024, head * 2 > entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }

    mutating func removeAll() { self = DelayedEntries() }
}
