public import BSON

/// A whole batch as one run of bytes, for journals: `operations u32, entries u32, entry count u32, flags u32 (1:
/// truncates after, 2: truncates through), after u64, through u64`, little-endian, then the operations and the entries
/// as the batch holds them.
extension WriteBatch {
    private static let flatHeaderBytes = 32

    /// Bytes of the flat form.
    public var flatByteCount: Int { WriteBatch.flatHeaderBytes + buffer.count + entries.count }

    /// Appends the flat form.
    public func appendFlat(to target: ByteBuffer) {
        target.append(littleEndian: UInt32(truncatingIfNeeded: buffer.count))
        target.append(littleEndian: UInt32(truncatingIfNeeded: entries.count))
        target.append(littleEndian: UInt32(truncatingIfNeeded: entryCount))
        target.append(
            littleEndian: UInt32(truncatesAfter == nil ? 0 : 1) | UInt32(truncatesThrough == nil ? 0 : 2))
        target.append(littleEndian: (truncatesAfter ?? .zero).rawValue)
        target.append(littleEndian: (truncatesThrough ?? .zero).rawValue)
        target.append(buffer.bytes)
        target.append(entries.bytes)
    }

    /// Becomes the batch whose flat form `bytes` begins with.
    /// - Returns: the bytes that it takes; nil when they are not the flat form of a batch. What the operations say is
    ///   for the engine to check.
    public func readFlat(_ bytes: UnsafeRawBufferPointer) -> Int? {
        removeAll()
        guard bytes.count >= WriteBatch.flatHeaderBytes, let base = bytes.baseAddress else { return nil }
        func word(_ offset: Int) -> Int {
            Int(UInt32(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        }
        func long(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        let (operations, entryBytes, flags) = (word(0), word(4), word(12))
        let total = WriteBatch.flatHeaderBytes + operations + entryBytes
        guard total <= bytes.count, flags < 4 else { return nil }
        let entryStart = WriteBatch.flatHeaderBytes + operations
        guard
            let found = WriteBatch.countEntries(UnsafeRawBufferPointer(rebasing: bytes[entryStart..<total])),
            found == word(8)
        else { return nil }
        buffer.append(UnsafeRawBufferPointer(rebasing: bytes[WriteBatch.flatHeaderBytes..<entryStart]))
        entries.append(UnsafeRawBufferPointer(rebasing: bytes[entryStart..<total]))
        entryCount = found
        truncatesAfter = flags & 1 != 0 ? Timestamp(rawValue: long(16)) : nil
        truncatesThrough = flags & 2 != 0 ? Timestamp(rawValue: long(24)) : nil
        guard let count = WriteBatch.countOperations(buffer.bytes) else { return nil }
        self.count = count
        return total
    }

    /// nil when the bytes are not whole entries, each a document of that length.
    private static func countEntries(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var (at, count) = (0, 0)
        while at < bytes.count {
            guard bytes.count - at >= entryHeaderBytes else { return nil }
            let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 16, as: UInt32.self)))
            guard length >= 5, bytes.count - at - entryHeaderBytes >= length else { return nil }
            let stated = UInt32(
                littleEndian: bytes.loadUnaligned(fromByteOffset: at + entryHeaderBytes, as: UInt32.self))
            guard Int(stated) == length else { return nil }
            at += entryHeaderBytes + length
            count += 1
        }
        return count
    }

    /// nil when the bytes are not whole operations of known kinds.
    private static func countOperations(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var (at, count) = (0, 0)
        while at < bytes.count {
            guard bytes.count - at >= headerBytes, Kind(rawValue: bytes[at]) != nil else { return nil }
            let key = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 5, as: UInt32.self)))
            let value = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 9, as: UInt32.self)))
            guard bytes.count - at - headerBytes >= key + value else { return nil }
            at += headerBytes + key + value
            count += 1
        }
        return count
    }
}
