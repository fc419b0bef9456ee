public import BSON
public import Core

#if canImport(Glibc)
    import Glibc
#endif

/// Sorts documents in memory, all of them or the first `limit`. Equal documents keep the order they came in.
///
/// Keys and documents are copied into one run of bytes. With a limit, a heap keeps the best so far and the memory of
/// documents that fell out is taken back when it is half of the whole.
public final class DocumentSorter {
    private struct Entry {
        var offset: Int
        let keyCount: Int
        let documentCount: Int
        let sequence: Int
        let tag: UInt64
        var byteCount: Int { keyCount + documentCount }
    }

    private let pattern: SortPattern
    private let limit: Int
    private let bytesMax: Int
    private var arena = ByteBuffer(capacity: 4096)
    private var entries: [Entry] = []
    private var liveBytes = 0
    private var sequence = 0
    /// The order in the making, between the steps of `finish`.
    private var ordering: StepwiseSort<Entry>?
    private var isSorted = false

    /// A sorter that keeps the first `limit` documents, or all when that is nil or 0.
    public init(_ pattern: SortPattern, limit: Int? = nil, bytesMax: Int = Limits.stageBytesMax) {
        self.pattern = pattern
        self.limit = limit.map { $0 > 0 ? $0 : .max } ?? .max
        self.bytesMax = bytesMax
    }

    /// The number of documents kept.
    public var count: Int { entries.count }
    /// Bytes of keys and documents kept.
    public var byteCount: Int { liveBytes }

    /// Takes a copy of `document`, or of what is to come in its place; `tag` (a record id) comes back with it.
    ///
    /// Throws 292 when more than `bytesMax` bytes would have to be kept.
    public func add(
        _ document: DocumentView, inItsPlace other: DocumentView? = nil, tag: UInt64 = 0
    ) throws(ServerError) {
        try add(document, behind: nil, inItsPlace: other, tag: tag)
    }

    /// Whether a document of that size, and its key, may be added.
    func hasRoom(for byteCount: Int) -> Bool {
        liveBytes + (entries.count + 1) * MemoryLayout<Entry>.stride + 2 * byteCount + 1024 <= bytesMax
    }

    /// Sorts the document by `prefix`, the key of what it is sorted by first, before its own key.
    func add(
        _ document: DocumentView, behind prefix: ByteBuffer?, inItsPlace other: DocumentView? = nil, tag: UInt64 = 0
    ) throws(ServerError) {
        let kept = other ?? document
        let start = arena.count
        if let prefix { arena.append(UnsafeRawPointer(prefix.base), count: prefix.count) }
        try pattern.appendKey(document, to: arena)
        let keyCount = arena.count - start
        let entry = Entry(
            offset: start, keyCount: keyCount, documentCount: kept.byteCount, sequence: sequence, tag: tag)
        sequence += 1
        if entries.count >= limit {
            guard isBefore(entry, entries[0]) else {
                arena.truncate(to: start)
                return
            }
            arena.append(kept.bytes)
            liveBytes += entry.byteCount - entries[0].byteCount
            entries[0] = entry
            siftDown(0)
            if arena.count > 2 * liveBytes + 65_536 { compact() }
        } else {
            arena.append(kept.bytes)
            liveBytes += entry.byteCount
            entries.append(entry)
            if limit != .max { siftUp(entries.count - 1) }
        }
        guard liveBytes + entries.count * MemoryLayout<Entry>.stride <= bytesMax else {
            throw ServerError(
                .queryExceededMemoryLimitNoDiskUseAllowed,
                "Sort exceeded memory limit of \(bytesMax) bytes, but did not opt in to external sorting.")
        }
    }

    /// Goes on bringing the documents in order until that is done, which it says, or `isOver` says that time is up.
    /// None may be added afterwards.
    public func finish(until isOver: () -> Bool = { false }) -> Bool {
        guard !isSorted else { return true }
        if ordering == nil {
            ordering = StepwiseSort(entries) { [unowned self] in isBefore($0, $1) }
            entries = []
        }
        while ordering?.step() == false {
            if isOver() { return false }
        }
        entries = ordering?.elements ?? []
        ordering = nil
        isSorted = true
        return true
    }

    /// Document `index` in sorted order; valid as long as the sorter. `finish` must have said that it is done.
    public subscript(index: Int) -> (document: DocumentView, tag: UInt64) {
        let entry = entries[index]
        return (DocumentView(base: UnsafeRawPointer(arena.base + entry.offset + entry.keyCount)), entry.tag)
    }

    /// The key of document `index`, its prefix in front.
    func key(at index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: arena.base + entries[index].offset, count: entries[index].keyCount)
    }

    private func isBefore(_ a: Entry, _ b: Entry) -> Bool {
        let order = memcmp(arena.base + a.offset, arena.base + b.offset, min(a.keyCount, b.keyCount))
        if order != 0 { return order < 0 }
        return a.keyCount != b.keyCount ? a.keyCount < b.keyCount : a.sequence < b.sequence
    }

    // MARK: The heap: its first entry comes last in the order

    private func siftUp(_ from: Int) {
        var at = from
        while at > 0 {
            let parent = (at - 1) / 2
            guard isBefore(entries[parent], entries[at]) else { return }
            entries.swapAt(parent, at)
            at = parent
        }
    }

    private func siftDown(_ from: Int) {
        var at = from
        while true {
            var last = at
            for child in [2 * at + 1, 2 * at + 2] where child < entries.count && isBefore(entries[last], entries[child])
            {
                last = child
            }
            guard last != at else { return }
            entries.swapAt(last, at)
            at = last
        }
    }

    private func compact() {
        let smaller = ByteBuffer(capacity: liveBytes + 4096)
        for index in entries.indices {
            let offset = smaller.count
            smaller.append(UnsafeRawPointer(arena.base + entries[index].offset), count: entries[index].byteCount)
            entries[index].offset = offset
        }
        arena = smaller
    }
}
