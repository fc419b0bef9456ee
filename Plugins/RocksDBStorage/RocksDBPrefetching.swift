import CRocks
public import Core

extension RocksDBStorage: StoragePrefetching {
    public func prefetch(_ table: TableID, _ keys: [[UInt8]]) async throws {
        let store = try opened()
        let prefetch = crocks_prefetch_begin(store)
        var stream: (direction: ScanDirection, bytes: Int)?
        for key in keys {
            let what = misses.take(table, key)
            var ahead = 0
            // A scan of which one direction is known reads on; whether it will is seen from where it comes.
            if keys.count == 1, let direction = ScanDirection(what) {
                ahead = streams.take(table, key, direction, most: readAheadMax)
                stream = (direction, ahead)
            }
            key.withUnsafeBytes {
                crocks_prefetch_add(store, prefetch, table.rawValue, crocks_bytes($0), what, ahead)
            }
        }
        prefetchedKeys += Int64(keys.count)
        let confined = Confined(prefetch)
        let failure = try await job { RocksDBFailure.of { crocks_prefetch_run(confined.value, $0) } }
        if let stream {
            let scanned = [UInt8](UnsafeRawBufferPointer(crocks_prefetch_scanned(prefetch)))
            if !scanned.isEmpty { streams.note(table, scanned, stream.direction, bytes: stream.bytes) }
        }
        crocks_prefetch_end(store, prefetch, Limits.prefetchedKeysMin, settings.cacheBytes / 2)
        lastPrefetch = runtime.now
        if let failure { throw failure.error("reading", layout.data) }
    }

    private var readAheadMax: Int { min(Limits.readAheadBytesMax, settings.cacheBytes / 16) }

    public func keepResident(_ table: TableID) {
        kept.insert(table)
        if let store { crocks_keep(store, table.rawValue) }
    }

    /// What scans have been prefetched for holds old files and write buffers; when nobody comes back for it, it goes.
    func forgetScans() {
        guard let store, let last = lastPrefetch, runtime.now - last > Limits.prefetchedScanMax else { return }
        lastPrefetch = nil
        crocks_forget_scans(store)
    }
}

extension ScanDirection {
    /// nil when a key, or both directions, are wanted.
    fileprivate init?(_ what: Int32) {
        switch what {
        case CROCKS_FORWARD: self = .forward
        case CROCKS_BACKWARD: self = .backward
        default: return nil
        }
    }
}

/// A key of a table.
private struct Place: Hashable {
    let table: TableID
    let key: [UInt8]
}

/// What the last reads were that found nothing in memory: a prefetch is asked for by key alone, and reads what whoever
/// came by there wanted.
struct MissNotes {
    private var wanted: [Place: Int32] = [:]
    private var order: [Place] = []
    /// How many reads there were.
    private(set) var count: Int64 = 0

    mutating func note(_ table: TableID, _ key: UnsafeRawBufferPointer, _ what: Int32) {
        count += 1
        let place = Place(table: table, key: [UInt8](key))
        if let noted = wanted[place] {
            wanted[place] = noted | what
            return
        }
        if order.count >= Limits.storageMissesNotedMax { wanted[order.removeFirst()] = nil }
        order.append(place)
        wanted[place] = what
    }

    /// What is to be read of a key: all that can be when it is not known.
    mutating func take(_ table: TableID, _ key: [UInt8]) -> Int32 {
        let place = Place(table: table, key: key)
        guard let what = wanted.removeValue(forKey: place) else {
            return CROCKS_GET | CROCKS_FORWARD | CROCKS_BACKWARD
        }
        order.removeAll { $0 == place }
        return what
    }
}

/// Scans that were read ahead of, by where that ended: one that comes there is read ahead of twice as far.
struct ScanStreams {
    private struct End: Hashable {
        let place: Place
        let direction: ScanDirection
    }
    private var bytes: [End: Int] = [:]
    private var order: [End] = []

    /// Bytes that a scan is to read from a key on.
    mutating func take(_ table: TableID, _ key: [UInt8], _ direction: ScanDirection, most: Int) -> Int {
        let end = End(place: Place(table: table, key: key), direction: direction)
        guard let before = bytes.removeValue(forKey: end) else { return min(Limits.readAheadBytesMin, most) }
        order.removeAll { $0 == end }
        return min(before * 2, most)
    }

    mutating func note(_ table: TableID, _ key: [UInt8], _ direction: ScanDirection, bytes: Int) {
        let end = End(place: Place(table: table, key: key), direction: direction)
        if self.bytes.updateValue(bytes, forKey: end) != nil { return }
        if order.count >= Limits.storageMissesNotedMax { self.bytes[order.removeFirst()] = nil }
        order.append(end)
    }
}
