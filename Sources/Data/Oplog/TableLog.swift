import BSON
import Core

/// The oplog of an engine that keeps none of its own: its entries in a table, `ts` (8 bytes, big-endian) → entry.
///
/// In memory is only the newest entry, which entries the commit point has not passed, which are next to be dropped in
/// front, and how large they are. What else is read may throw `StorageNotResident`, before anything has changed.
final class TableLog: StorageLog {
    let engine: any StorageEngine
    private(set) var first: OpTime?
    private(set) var last: OpTime?
    private(set) var openBytes = 0
    /// Entries above the commit point, oldest first from `openHead` on.
    private var open: [(timestamp: Timestamp, bytes: Int)] = []
    private var openHead = 0
    private var commitPoint = Timestamp.zero
    /// The first entries, as far as they were looked at to be dropped.
    private var front: [(optime: OpTime, storedBytes: Int)] = []
    /// The last entry, empty when there is none.
    private let lastEntry = ByteBuffer(capacity: 256)
    /// The last entry that a truncation behind it leaves: found before the batch is applied.
    private var lastKept: OpTime?
    private let lastKeptEntry = ByteBuffer(capacity: 256)

    init(_ engine: any StorageEngine) { self.engine = engine }

    private var statistics: StorageTableStatistics { engine.statistics(.oplog) }
    var count: Int { statistics.entries }
    var byteCount: Int { max(statistics.bytes - statistics.entries * TableLog.keyBytes, 0) }
    var storedBytes: Int { statistics.bytes }

    private static let keyBytes = 8

    private static func withKey<R>(_ timestamp: Timestamp, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withUnsafeBytes(of: timestamp.rawValue.bigEndian, body)
    }

    private static func timestamp(_ key: UnsafeRawBufferPointer) throws -> Timestamp {
        try invariant(key.count == keyBytes, "a key of the oplog's table has \(key.count) bytes")
        return Timestamp(rawValue: UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)))
    }

    private static func optime(_ row: RowBuffer.Row) throws -> OpTime {
        guard let optime = OpTime(try storedDocument(row.value)) else {
            throw InvariantViolation("an oplog entry has no optime")
        }
        return optime
    }

    /// What the engine throws stops the member, and is told from everything else.
    private func guarded<Answer>(_ call: () throws -> Answer) throws(StorageFailure) -> Answer {
        do { return try call() } catch { throw StorageFailure(engine: "\(type(of: engine))", cause: error) }
    }

    private func read(_ bound: StorageBound, _ direction: ScanDirection, _ rows: RowBuffer) throws -> StorageScan {
        try guarded { try engine.makeCursor(.oplog).read(from: bound, direction: direction, into: rows) }
    }

    // MARK: Opening

    /// Finds out what is there. Entries up to `floor` are known to be committed.
    func load(committed floor: Timestamp) async throws {
        commitPoint = floor
        open.removeAll()
        (openHead, openBytes) = (0, 0)
        front.removeAll()
        first = try await whenResident { try end(.forward) }
        last = try await whenResident { try end(.backward, entry: lastEntry) }
        try await whenResident {
            try walk(from: open.last?.timestamp ?? floor, inclusive: false, .forward, rowsPerRead: 256) {
                open.append(($0, $1.count))
                openBytes += $1.count
                return true
            }
        }
    }

    /// The entry at one end of the table; nil when it is empty.
    private func end(_ direction: ScanDirection, entry: ByteBuffer? = nil) throws -> OpTime? {
        let rows = RowBuffer(limit: 1)
        let scan = try read(.start, direction, rows)
        entry?.removeAll()
        if let row = rows.rows.first {
            entry?.append(row.value)
            return try TableLog.optime(row)
        }
        if case .notResident = scan { throw StorageNotResident(.oplog, from: .start) }
        return nil
    }

    private func whenResident<Answer>(_ step: () throws -> Answer) async throws -> Answer {
        while true {
            do { return try step() } catch let missing as StorageNotResident { try await prefetch(missing) }
        }
    }

    private func prefetch(_ missing: StorageNotResident) async throws {
        guard let engine = engine as? any StoragePrefetching else {
            throw ServerError(.internalError, "the storage engine has keys that it cannot bring into memory")
        }
        do { try await engine.prefetch(missing.table, [missing.key]) } catch {
            throw StorageFailure(engine: "\(type(of: engine))", cause: error)
        }
    }

    // MARK: Changing

    /// Adds to a batch, as operations on the table, what it does to the log.
    func translate(_ batch: WriteBatch) throws {
        let isCleared = batch.truncatesThrough == .max
        if let after = batch.truncatesAfter {
            try invariant(
                after >= commitPoint, "the oplog is truncated behind \(after), below the commit point \(commitPoint)")
            try findLastKept(at: after)
            try walk(from: after, inclusive: false, .forward, rowsPerRead: 256) { timestamp, _ in
                TableLog.withKey(timestamp) { batch.delete(.oplog, key: $0) }
                return true
            }
        }
        try batch.checkEntries(behind: isCleared || batch.truncatesAfter != nil ? nil : last)
        if isCleared {
            batch.dropTable(.oplog)
        } else if let through = batch.truncatesThrough {
            // One beyond: that is the first then.
            while front.last?.optime.timestamp ?? .zero <= through,
                try readFront(front.count + TableLog.pieceEntries)
            {}
            for entry in front {
                guard entry.optime.timestamp <= through else { break }
                TableLog.withKey(entry.optime.timestamp) { batch.delete(.oplog, key: $0) }
            }
        }
        batch.forEachEntry { optime, entry in
            TableLog.withKey(optime.timestamp) { batch.put(.oplog, key: $0, value: entry) }
        }
    }

    private func findLastKept(at timestamp: Timestamp) throws {
        lastKept = nil
        lastKeptEntry.removeAll()
        try walk(from: timestamp, inclusive: true, .backward, rowsPerRead: 1) {
            lastKept = OpTime(try storedDocument($1))
            lastKeptEntry.append($1)
            return false
        }
    }

    /// A batch that was translated is applied.
    func didApply(_ batch: WriteBatch) throws {
        if batch.truncatesThrough == .max {
            open.removeAll()
            front.removeAll()
            lastEntry.removeAll()
            (openHead, openBytes, commitPoint, first, last) = (0, 0, .zero, nil, nil)
        } else if let through = batch.truncatesThrough {
            front.removeFirst(front.prefix { $0.optime.timestamp <= through }.count)
            first = front.first?.optime
            if first == nil { last = nil }
        }
        if let after = batch.truncatesAfter {
            while open.count > openHead, open[open.count - 1].timestamp > after {
                openBytes -= open.removeLast().bytes
            }
            front.removeAll { $0.optime.timestamp > after }
            last = lastKept
            lastEntry.removeAll()
            lastEntry.append(lastKeptEntry.bytes)
            if last == nil { first = nil }
        }
        batch.forEachEntry { optime, entry in
            if first == nil { first = optime }
            last = optime
            lastEntry.removeAll(keeping: 1 << 20)
            lastEntry.append(entry)
            if optime.timestamp > commitPoint {
                open.append((optime.timestamp, entry.count))
                openBytes += entry.count
            }
        }
    }

    func setCommitPoint(_ timestamp: Timestamp) {
        guard timestamp > commitPoint else { return }
        commitPoint = timestamp
        while openHead < open.count, open[openHead].timestamp <= timestamp {
            openBytes -= open[openHead].bytes
            openHead += 1
        }
        if openHead >= 1024, openHead * 2 >= open.count {
            open.removeFirst(openHead)
            openHead = 0
        }
    }

    /// Entries of a piece that is dropped in front.
    private static let pieceEntries = 64

    func frontPiece(_ index: Int) throws -> (last: OpTime, storedBytes: Int)? {
        let end = TableLog.pieceEntries * (index + 1)
        // With the one that is the first when the piece is gone.
        _ = try readFront(end + 1)
        guard front.count >= end, front[end - 1].optime.timestamp <= commitPoint else { return nil }
        let piece = front[(end - TableLog.pieceEntries)..<end]
        return (front[end - 1].optime, piece.reduce(0) { $0 + $1.storedBytes })
    }

    /// Looks at entries until so many in front are known; false when no further one was found.
    private func readFront(_ count: Int) throws -> Bool {
        let known = front.count
        guard known < count else { return true }
        let start = front.last?.optime.timestamp
        try walk(
            from: start ?? .zero, inclusive: start == nil, .forward, rowsPerRead: min(count - known, 256)
        ) { _, value in
            guard let optime = OpTime(try storedDocument(value)) else {
                throw InvariantViolation("an oplog entry has no optime")
            }
            front.append((optime, value.count + TableLog.keyBytes))
            return front.count < count
        }
        return front.count > known
    }

    // MARK: Reading

    func optime(at timestamp: Timestamp) throws -> OpTime? {
        if let last, last.timestamp == timestamp { return last }
        return try TableLog.withKey(timestamp) { key in
            switch try guarded({ try engine.get(.oplog, key) }) {
            case .found(let value): OpTime(try storedDocument(value))
            case .absent: nil
            case .notResident: throw StorageNotResident(.oplog, key)
            }
        }
    }

    func read(
        from timestamp: Timestamp, inclusive: Bool, direction: ScanDirection,
        _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        var (start, inclusive) = (timestamp, inclusive)
        if direction == .backward, let last, last.timestamp <= timestamp, inclusive || last.timestamp < timestamp {
            guard try body(lastEntry.bytes) else { return }
            (start, inclusive) = (last.timestamp, false)
        }
        try walk(from: start, inclusive: inclusive, direction, rowsPerRead: 16) { try body($1) }
    }

    private func walk(
        from timestamp: Timestamp, inclusive: Bool, _ direction: ScanDirection, rowsPerRead: Int,
        _ body: (Timestamp, UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        let rows = RowBuffer(limit: rowsPerRead)
        var (position, inclusive) = (timestamp, inclusive)
        while true {
            let scan = try TableLog.withKey(position) {
                try read(inclusive ? .including($0) : .behind($0), direction, rows)
            }
            for row in rows.rows {
                position = try TableLog.timestamp(row.key)
                inclusive = false
                guard try body(position, row.value) else { return }
            }
            if case .notResident = scan {
                if rows.count == 0 { throw TableLog.withKey(position) { StorageNotResident(.oplog, $0) } }
            } else if !rows.isFull {
                return
            }
        }
    }
}
