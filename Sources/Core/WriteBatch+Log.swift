public import BSON

/// What a batch does to the oplog: the entries that describe it, one or a run of them, and truncation at either end.
extension WriteBatch {
    /// `term i64, timestamp u64, length u32`, little-endian, before each entry.
    static let entryHeaderBytes = 20

    /// Whether the batch changes the log.
    @inline(__always)
    public var changesLog: Bool { entryCount > 0 || truncatesAfter != nil || truncatesThrough != nil }

    /// Bytes of the entries, without what the batch keeps beside them.
    public var entryBytes: Int { entries.count - entryCount * WriteBatch.entryHeaderBytes }

    /// Appends an entry.
    public func appendEntry(_ entry: UnsafeRawBufferPointer, optime: OpTime) {
        let start = beginEntry()
        entries.append(entry)
        endEntry(start, optime: optime)
    }

    /// Begins an entry that is written in place, behind the end of `entries`; returns where.
    @inline(__always)
    public func beginEntry() -> Int {
        let start = entries.count
        _ = entries.extend(by: WriteBatch.entryHeaderBytes)
        return start
    }

    /// Ends the entry that began at `start`.
    @inline(__always)
    public func endEntry(_ start: Int, optime: OpTime) {
        let length = entries.count - start - WriteBatch.entryHeaderBytes
        let at = entries.base + start
        at.storeBytes(of: optime.term.littleEndian, as: Int64.self)
        at.storeBytes(of: optime.timestamp.rawValue.littleEndian, toByteOffset: 8, as: UInt64.self)
        at.storeBytes(of: UInt32(truncatingIfNeeded: length).littleEndian, toByteOffset: 16, as: UInt32.self)
        entryCount += 1
    }

    /// Removes the entries behind `timestamp`: rollback.
    public func truncateLog(after timestamp: Timestamp) { truncatesAfter = timestamp }

    /// Removes the entries up to `timestamp`, with it; `.max` empties the log.
    public func truncateLog(through timestamp: Timestamp) { truncatesThrough = timestamp }

    /// Calls `body` for each entry in order; the bytes are valid until the batch changes.
    @inlinable
    public func forEachEntry<E: Error>(_ body: (OpTime, UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
        var at = UnsafeRawPointer(entries.base)
        let end = at + entries.count
        while at < end {
            let term = Int64(littleEndian: at.loadUnaligned(as: Int64.self))
            let timestamp = UInt64(littleEndian: at.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let length = Int(UInt32(littleEndian: at.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
            try body(
                OpTime(term: term, timestamp: Timestamp(rawValue: timestamp)),
                UnsafeRawBufferPointer(start: at + 20, count: length))
            at += 20 + length
        }
    }

    /// Checks the entries against the last one of the log.
    /// - Throws: `InvariantViolation` when they do not come behind it, or not in order.
    public func checkEntries(behind last: OpTime?) throws {
        guard entryCount > 0 else { return }
        var last = last
        try forEachEntry { (optime, _) throws(InvariantViolation) in
            if let last, optime.timestamp <= last.timestamp || optime.term < last.term {
                throw InvariantViolation("the oplog entry \(optime) does not come behind \(last)")
            }
            last = optime
        }
    }
}
