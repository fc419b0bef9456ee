public import BSON
import Core

/// Sorts what a blocking stage collects, and then shows it one by one.
///
/// What the memory has no room for goes into a temporary table, whose order is that of the keys: it is sorted as it
/// comes. At the end the two are merged.
public final class StageSorter {
    /// A document in its order; valid until the next is asked for.
    public struct Row {
        /// The document, or what was to come in its place.
        public let document: DocumentView
        let key: UnsafeRawBufferPointer
        /// What was given with it.
        public let tag: UInt64
    }

    /// What asking for the next document gives.
    public enum Progress {
        case row(Row)
        case yield
        case end
    }

    private let pattern: SortPattern
    private let limit: Int
    private let sorter: DocumentSorter
    private let clock: PipelineClock
    private let memory: StageMemory
    private var spilled: SpilledRows?
    private let wrapped = ByteBuffer()
    private var isSorted = false
    private var index = 0
    private var shown = 0
    /// The spilled row that was shown last.
    private let shownRow = ByteBuffer()
    private let keyBuffer = ByteBuffer()

    /// - Parameters:
    ///   - limit: how many documents are wanted; nil for all.
    ///   - memory: what it may hold.
    public init(_ pattern: SortPattern, limit: Int? = nil, _ clock: PipelineClock, _ memory: StageMemory) {
        self.pattern = pattern
        self.limit = limit.map { $0 > 0 ? $0 : .max } ?? .max
        self.clock = clock
        self.memory = memory
        sorter = DocumentSorter(pattern, limit: limit, bytesMax: memory.bytesMax)
    }

    /// Gives back what it holds elsewhere. Twice is harmless.
    public func close() {
        spilled?.drop()
        spilled = nil
    }

    /// Takes a copy of a document, or of what comes in its place; `tag` comes back with it.
    /// - Parameter prefix: the key of what it is sorted by first.
    func add(_ document: DocumentView, behind prefix: ByteBuffer?, inItsPlace other: DocumentView? = nil, tag: UInt64)
        throws
    {
        try gather(document, behind: prefix, inItsPlace: other, tag: tag)
        try flush()
    }

    /// Takes a copy of a document, or of what comes in its place; `tag` comes back with it. Where the document lies in
    /// a store that is not to be written to now, the caller calls `flush` afterwards.
    public func gather(_ document: DocumentView, inItsPlace other: DocumentView? = nil, tag: UInt64 = 0) throws {
        try gather(document, behind: nil, inItsPlace: other, tag: tag)
    }

    /// Whether `flush` has something to do.
    public var needsFlush: Bool { spilled?.isFull ?? false }

    /// Puts what was gathered into the temporary table, when it is enough for one step.
    public func flush() throws { if needsFlush { try spilled?.flush() } }

    private func gather(
        _ document: DocumentView, behind prefix: ByteBuffer?, inItsPlace other: DocumentView?, tag: UInt64
    ) throws {
        let kept = other ?? document
        if spilled == nil, let store = memory.store, !sorter.hasRoom(for: kept.byteCount) {
            spilled = try SpilledRows(store)
        }
        guard let spilled else { return try sorter.add(document, behind: prefix, inItsPlace: other, tag: tag) }
        wrapped.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: wrapped)
        writer.append("t", int64: Int64(bitPattern: tag))
        writer.append("d", kept)
        writer.finish()
        try spilled.append(DocumentView(base: UnsafeRawPointer(wrapped.base))) { key in
            if let prefix { key.append(UnsafeRawPointer(prefix.base), count: prefix.count) }
            try pattern.appendKey(document, to: key)
        }
    }

    /// The next document in order. None may be added afterwards.
    public func next() throws -> Progress {
        if !isSorted {
            isSorted = sorter.finish { clock.isOverNow() }
            if !isSorted { return .yield }
            try spilled?.flush()
        }
        guard shown < limit, try hasNext() else { return .end }
        if clock.isOver() { return .yield }
        guard let (key, value) = try spilled?.peek() else { return .row(takeSorted()) }
        // What is in memory came first.
        if index < sorter.count, !StageSorter.isBefore(key, sorter.key(at: index)) { return .row(takeSorted()) }
        keyBuffer.removeAll(keeping: 1 << 16)
        key.withUnsafeBytes { keyBuffer.append($0) }
        spilled?.advance()
        shown += 1
        return .row(try takeSpilled(value))
    }

    private func hasNext() throws -> Bool {
        if index < sorter.count { return true }
        return try spilled?.peek() != nil
    }

    private func takeSorted() -> Row {
        index += 1
        shown += 1
        let (document, tag) = sorter[index - 1]
        return Row(document: document, key: sorter.key(at: index - 1), tag: tag)
    }

    private func takeSpilled(_ value: Document) throws(ServerError) -> Row {
        let view = shownRow.show(value)
        guard let document = view["d"]?.asDocument, let tag = view["t"]?.asInteger else {
            throw ServerError(.internalError, "a row of a temporary table is not readable")
        }
        return Row(document: document, key: keyBuffer.bytes, tag: UInt64(bitPattern: tag))
    }

    private static func isBefore(_ a: ArraySlice<UInt8>, _ b: UnsafeRawBufferPointer) -> Bool {
        a.withUnsafeBytes { $0.lexicographicallyPrecedes(b) }
    }
}

extension SortPattern {
    /// The order in which documents come.
    static func none() throws(ServerError) -> SortPattern {
        try Document().withChecked { (view) throws(ServerError) in try SortPattern(view) }
    }
}
