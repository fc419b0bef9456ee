import BSON
import Core

/// The oplog of an engine that keeps none of its own: its entries in a table, `ts` (8 bytes, big-endian) → entry.
///
/// In memory is only which entries the commit point has not passed, and how large they are.
final class TableLog: StorageLog {
    let engine: any StorageEngine
    private(set) var first: OpTime?
    private(set) var last: OpTime?
    private(set) var openBytes = 0
    /// Entries above the commit point, oldest first from `openHead` on.
    private var open: [(timestamp: Timestamp, bytes: Int)] = []
    private var openHead = 0
    private var commitPoint = Timestamp.zero
    /// Pieces at the front that are known, all of them committed.
    private var pieces: [(last: OpTime, storedBytes: Int)] = []
    private let pieceRows = RowBuffer(limit: TableLog.pieceEntries)
    private var pieceBytes = Limits.oplogBlockBytes

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
        pieces.removeAll()
        (openHead, openBytes) = (0, 0)
        first = try await end(.forward)
        last = try await end(.backward)
        var isFirst = true
        while true {
            do {
                let start = isFirst ? floor : open.last?.timestamp ?? floor
                try walk(from: start, inclusive: false, .forward, rowsPerRead: 256) { timestamp, value in
                    open.append((timestamp, value.count))
                    openBytes += value.count
                    return true
                }
                return
            } catch let missing as StorageNotResident {
                isFirst = false
                try await prefetch(missing)
            }
        }
    }

    private func end(_ direction: ScanDirection) async throws -> OpTime? {
        while true {
            do {
                let rows = RowBuffer(limit: 1)
                let scan = try read(.start, direction, rows)
                if let row = rows.rows.first { return try TableLog.optime(row) }
                if case .done = scan { return nil }
                throw StorageNotResident(table: .oplog, key: [])
            } catch let missing as StorageNotResident {
                try await prefetch(missing)
            }
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
            try walk(from: after, inclusive: false, .forward, rowsPerRead: 256) { timestamp, _ in
                TableLog.withKey(timestamp) { batch.delete(.oplog, key: $0) }
                return true
            }
        }
        try batch.checkEntries(behind: isCleared || batch.truncatesAfter != nil ? nil : last)
        if isCleared {
            batch.dropTable(.oplog)
        } else if let through = batch.truncatesThrough {
            try walk(from: .zero, inclusive: true, .forward, rowsPerRead: TableLog.pieceEntries) { timestamp, _ in
                guard timestamp <= through else { return false }
                TableLog.withKey(timestamp) { batch.delete(.oplog, key: $0) }
                return true
            }
        }
        batch.forEachEntry { optime, entry in
            TableLog.withKey(optime.timestamp) { batch.put(.oplog, key: $0, value: entry) }
        }
    }

    /// A batch that was translated is applied.
    func didApply(_ batch: WriteBatch) throws {
        if let through = batch.truncatesThrough { dropPieces(through: through) }
        if batch.truncatesThrough == .max {
            open.removeAll()
            (openHead, openBytes, commitPoint, first, last) = (0, 0, .zero, nil, nil)
        }
        if let after = batch.truncatesAfter {
            while open.count > openHead, open[open.count - 1].timestamp > after {
                openBytes -= open.removeLast().bytes
            }
        }
        batch.forEachEntry { optime, entry in
            if first == nil { first = optime }
            last = optime
            if optime.timestamp > commitPoint {
                open.append((optime.timestamp, entry.count))
                openBytes += entry.count
            }
        }
        if batch.truncatesAfter != nil || batch.truncatesThrough != nil {
            first = try edge(.forward)
            last = try edge(.backward)
        }
    }

    private func edge(_ direction: ScanDirection) throws -> OpTime? {
        let rows = RowBuffer(limit: 1)
        _ = try read(.start, direction, rows)
        return try rows.rows.first.map { try TableLog.optime($0) }
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

    // MARK: Pieces

    /// Entries of a piece that is dropped in front, at most.
    private static let pieceEntries = 64

    func expect(bytesMax: Int) {
        pieceBytes = max(1024, min(Limits.oplogBlockBytes, bytesMax / 4))
        pieces.removeAll()
    }

    /// Pieces are found once, in order; those at the front go as they are dropped.
    func frontPiece(_ index: Int) throws -> (last: OpTime, storedBytes: Int)? {
        while index >= pieces.count { guard try findPiece() else { return nil } }
        return pieces[index]
    }

    /// Finds the piece behind those that are known; false when the commit point has not passed a whole one.
    private func findPiece() throws -> Bool {
        let scan =
            if let last = pieces.last?.last.timestamp {
                try TableLog.withKey(last) { try read(.behind($0), .forward, pieceRows) }
            } else {
                try read(.start, .forward, pieceRows)
            }
        // What is not in memory is not dropped this time.
        if case .notResident = scan, pieceRows.count == 0 { return false }
        var bytes = 0
        for (count, row) in pieceRows.rows.enumerated() {
            guard try TableLog.timestamp(row.key) <= commitPoint else { return false }
            bytes += row.key.count + row.value.count
            guard count + 1 == TableLog.pieceEntries || bytes >= pieceBytes else { continue }
            pieces.append((try TableLog.optime(row), bytes))
            return true
        }
        return false
    }

    private func dropPieces(through timestamp: Timestamp) {
        let dropped = pieces.prefix { $0.last.timestamp <= timestamp }
        // One that is cut in the middle is not what it was.
        if dropped.last?.last.timestamp == timestamp { pieces.removeFirst(dropped.count) } else { pieces.removeAll() }
    }

    // MARK: Reading

    func optime(at timestamp: Timestamp) throws -> OpTime? {
        try TableLog.withKey(timestamp) { key in
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
        try walk(from: timestamp, inclusive: inclusive, direction, rowsPerRead: 16) { try body($1) }
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
                throw TableLog.withKey(position) { StorageNotResident(.oplog, $0) }
            }
            guard rows.isFull else { return }
        }
    }
}
