public import Core

/// Reading: the engine's state, with what the history, or the step that reads, knows better.
extension VersionStore {
    /// The value of a key at a point in time.
    public func get(_ table: TableID, _ key: UnsafeRawBufferPointer, at point: ReadPoint) throws -> StorageRead {
        switch point {
        case .latest: break
        case .within(let reference):
            let step = reference.step
            if !step.overlay.isEmpty, key.count <= Limits.storageKeyBytesMax,
                let pending = step.overlay.get(table, key, in: step.batch)
            {
                return pending
            }
        case .at(let time):
            try checkReadable(time)
            if time < history.newest, key.count <= Limits.storageKeyBytesMax,
                let past = history.value(table, key, at: time)
            {
                return past.value.map { .found($0) } ?? .absent
            }
        }
        return try engine.get(table, key)
    }

    /// The values of keys of one length; an absent one has no base address. Returns how many could be read, from the
    /// first on: fewer where the next is not in memory, at least one. The pointers are valid until the next write,
    /// commit or suspension.
    func getMany(
        _ table: TableID, keys: UnsafeBufferPointer<UnsafeRawPointer?>, keyByteCount: Int, at point: ReadPoint,
        into values: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    ) throws -> Int {
        if !hasOverrides(at: point) {
            if case .at(let time) = point { try checkReadable(time) }
            if try engine.getMany(table, keys: keys, keyByteCount: keyByteCount, into: values) { return keys.count }
        }
        for (index, key) in keys.enumerated() {
            let key = UnsafeRawBufferPointer(start: key, count: keyByteCount)
            switch try get(table, key, at: point) {
            case .found(let value): values[index] = value
            case .absent: values[index] = UnsafeRawBufferPointer(start: nil, count: 0)
            case .notResident:
                if index == 0 { throw StorageNotResident(table, key) }
                return index
            }
        }
        return keys.count
    }

    /// Empties `rows` and fills it with up to `rows.limit` entries of the table at a point in time, from `bound` on.
    /// Fewer than the limit with `.done` means the end; with `.notResident` there is one at least. The pointers are
    /// valid until the next write, commit or suspension.
    /// - Throws: `StorageNotResident` when the first of them is not in memory.
    public func read(
        _ table: TableID, from bound: StorageBound, direction: ScanDirection, at point: ReadPoint, into rows: RowBuffer
    ) throws -> StorageScan {
        if case .at(let time) = point { try checkReadable(time) }
        if !isDropped(table, at: point) {
            let scan = try engine.read(cursor(table), from: bound, direction: direction, into: rows)
            if case .notResident = scan, rows.count == 0 { throw StorageNotResident(table, from: bound) }
            guard hasOverrides(at: point) else { return scan }
            var end: UnsafeRawBufferPointer?
            if case .notResident = scan {
                end = rows.rows.last?.key
            } else if rows.isFull {
                end = rows.rows.last?.key
            }
            if try nextOverride(table, bound, to: end, direction, point) == nil { return scan }
        }
        var merge = try VersionMerge(store: self, table: table, direction: direction, point: point, bound: bound)
        return try merge.fill(rows)
    }

    private func hasOverrides(at point: ReadPoint) -> Bool {
        switch point {
        case .latest: false
        case .within(let reference): !reference.step.overlay.isEmpty
        case .at(let time): time < history.newest
        }
    }

    /// Whether the step that reads has emptied the table; the engine still has its rows.
    func isDropped(_ table: TableID, at point: ReadPoint) -> Bool {
        guard case .within(let reference) = point else { return false }
        return reference.step.overlay.droppedTables.contains(table)
    }

    /// The first key from `bound` on whose value is not the engine's. Those behind `end` may be left out.
    func nextOverride(
        _ table: TableID, _ bound: StorageBound, to end: UnsafeRawBufferPointer?, _ direction: ScanDirection,
        _ point: ReadPoint
    ) throws -> Override? {
        switch bound {
        case .including(let key), .behind(let key):
            guard key.count <= CompositeKey.keyBytesMax else {
                throw ServerError(.keyTooLong, "a scan cannot start at a key of \(key.count) bytes")
            }
        case .start: break
        }
        return switch point {
        case .latest: nil
        case .within(let reference):
            reference.step.overlay.next(table, from: bound, direction, in: reference.step.batch)
        case .at(let time): history.next(table, from: bound, to: end, direction, at: time)
        }
    }
}

/// One ordered scan over the engine's rows and the keys that are different at the read's point.
struct VersionMerge {
    private let store: VersionStore
    private let table: TableID
    private let direction: ScanDirection
    private let point: ReadPoint
    private var bound: StorageBound
    /// The next key that is different, as far as the engine's rows were fetched.
    private var override: Override?
    /// The engine's rows that were fetched and not used yet begin here.
    private var index = 0
    private var isEngineDone: Bool
    private var isNotResident = false

    init(
        store: VersionStore, table: TableID, direction: ScanDirection, point: ReadPoint, bound: StorageBound
    ) throws {
        self.store = store
        self.table = table
        self.direction = direction
        self.point = point
        self.bound = bound
        isEngineDone = store.isDropped(table, at: point)
        store.mergeRows.removeAll()
        if isEngineDone { override = try store.nextOverride(table, bound, to: nil, direction, point) }
    }

    mutating func fill(_ rows: RowBuffer) throws -> StorageScan {
        rows.removeAll()
        while !rows.isFull {
            let row = try engineRow(wanted: rows.limit - rows.count)
            // Behind the last resident row the engine may have keys that come before the next override.
            if row == nil, isNotResident {
                if rows.count == 0 { throw StorageNotResident(table, from: bound) }
                return .notResident
            }
            guard let over = override else {
                guard let row else { return .done }
                rows.append(key: row.key, value: row.value)
                index += 1
                continue
            }
            let order = row.map {
                direction == .forward ? compareKeys(over.key, $0.key) : compareKeys($0.key, over.key)
            }
            if let row, let order, order > 0 {
                rows.append(key: row.key, value: row.value)
                index += 1
                continue
            }
            if order == 0 { index += 1 }
            if let value = over.value { rows.append(key: over.key, value: value) }
            override = try store.nextOverride(table, .behind(over.key), to: end, direction, point)
        }
        return .done
    }

    /// As far as overrides are looked for: where the rows that were fetched end, unless there are no more.
    private var end: UnsafeRawBufferPointer? {
        isEngineDone && !isNotResident ? nil : store.mergeRows.rows.last?.key
    }

    /// The engine's next row, fetched when none is left, and then the next override with it.
    private mutating func engineRow(wanted: Int) throws -> RowBuffer.Row? {
        let fetched = store.mergeRows
        if index == fetched.count, !isEngineDone {
            fetched.limit = max(wanted, 1)
            let scan = try store.engine.read(
                store.cursor(table), from: bound, direction: direction, into: fetched)
            index = 0
            switch scan {
            case .done: isEngineDone = !fetched.isFull
            case .notResident where fetched.count == 0: (isNotResident, isEngineDone) = (true, true)
            case .notResident: break
            }
            if override == nil, !isNotResident {
                override = try store.nextOverride(table, bound, to: end, direction, point)
            }
            if let last = fetched.rows.last { bound = .behind(last.key) }
        }
        return index < fetched.count ? fetched.rows[index] : nil
    }
}
