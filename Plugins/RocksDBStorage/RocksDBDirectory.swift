import BSON
import CHash
import Core

/// What lies where in a data directory:
///
/// - `lock`: who holds it
/// - `store`: whose it is, and whether it was closed (`StoreIdentity`); replaced as a whole
/// - `mark`: through which batch everything was durable when somebody last waited for that (`DurableMarkFile`)
/// - `data/`: RocksDB's own files
struct RocksDBLayout: Sendable {
    let root: String

    var lock: String { "\(root)/lock" }
    var store: String { "\(root)/store" }
    var newStore: String { "\(root)/store.new" }
    var mark: String { "\(root)/mark" }
    var data: String { "\(root)/data" }
}

/// Says that a directory is a store of this kind, and which.
///
/// 0 magic "QRI1", 4 version u32, 8 XXH3 of the rest u64, 16 number u64, 24 flags u32 (1: made, 2: clean),
/// little-endian.
struct StoreIdentity: Sendable, Equatable {
    /// Drawn when the directory was made: RocksDB's files must have the same.
    var number: UInt64
    /// Whether it was made to the end; what is there of one that was not has never held anything.
    var isMade = false
    /// Whether it was closed in good order.
    var isClean = false

    private static let magic: UInt32 = 0x3149_5251
    private static let version: UInt32 = 1
    private static let byteCount = 28

    /// Replaces the one on disk; durable when this returns.
    func write(_ disk: any Disk, _ layout: RocksDBLayout) throws(DiskError) {
        let body = ByteBuffer()
        body.append(littleEndian: number)
        body.append(littleEndian: UInt32(isMade ? 1 : 0) | UInt32(isClean ? 2 : 0))
        let buffer = ByteBuffer()
        buffer.append(littleEndian: StoreIdentity.magic)
        buffer.append(littleEndian: StoreIdentity.version)
        buffer.append(littleEndian: chash_xxh3_64(body.bytes.baseAddress, body.count))
        buffer.append(body.bytes)
        let file = try disk.open(layout.newStore, create: true)
        try file.resize(to: 0)
        try file.write(buffer.bytes, at: 0)
        try file.sync()
        try disk.rename(layout.newStore, to: layout.store)
        try disk.syncDirectory(layout.root)
    }

    /// nil when there is none.
    /// - Throws: `StorageDamage`, `DiskError`.
    static func read(_ disk: any Disk, _ layout: RocksDBLayout) throws -> StoreIdentity? {
        guard let file = try disk.openExisting(layout.store) else { return nil }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let count = try bytes.withUnsafeMutableBytes { bytes throws(DiskError) in try file.read(into: bytes, at: 0) }
        return try bytes.withUnsafeBytes { bytes in
            func word(_ offset: Int) -> UInt32 {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            }
            func long(_ offset: Int) -> UInt64 {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
            guard count >= 8, word(0) == magic else {
                throw StorageDamage(layout.store, offset: 0, "it does not say that a store is here")
            }
            guard word(4) == version else {
                throw StorageDamage(newer: layout.store, version: Int(clamping: word(4)), known: Int(version))
            }
            guard count == byteCount, long(8) == chash_xxh3_64(bytes.baseAddress.map { $0 + 16 }, byteCount - 16),
                word(24) < 4
            else { throw StorageDamage(layout.store, offset: 8, "the checksum does not fit the content") }
            return StoreIdentity(number: long(16), isMade: word(24) & 1 != 0, isClean: word(24) & 2 != 0)
        }
    }
}

/// The number of a batch that was durable, for the next opening to find out whether it still is: RocksDB takes a log
/// that is damaged in the middle for one that ends there.
///
/// Written behind each sync, without one of its own: what is lost with the power is an older number, which still holds.
/// 0 number u64, 8 XXH3 of it, seeded with the store's, u64.
struct DurableMarkFile: Sendable {
    private let file: any DiskFile
    private let store: UInt64

    private init(_ file: any DiskFile, _ store: UInt64) {
        self.file = file
        self.store = store
    }

    static func create(_ disk: any Disk, _ layout: RocksDBLayout, store: UInt64) throws(DiskError) -> DurableMarkFile {
        let mark = DurableMarkFile(try disk.open(layout.mark, create: true), store)
        try mark.write(0)
        try mark.file.sync()
        try disk.syncDirectory(layout.root)
        return mark
    }

    /// Opens the one that is there, and reads it.
    static func open(
        _ disk: any Disk, _ layout: RocksDBLayout, store: UInt64
    ) throws -> (file: DurableMarkFile, number: UInt64) {
        guard let file = try disk.openExisting(layout.mark) else {
            throw StorageDamage(layout.mark, offset: 0, "the file is missing")
        }
        var words: (UInt64, UInt64) = (0, 0)
        let count = try withUnsafeMutableBytes(of: &words) { try file.read(into: $0, at: 0) }
        guard count == 16, UInt64(littleEndian: words.1) == checksum(words.0, store) else {
            throw StorageDamage(layout.mark, offset: 0, "the checksum does not fit the content")
        }
        return (DurableMarkFile(file, store), UInt64(littleEndian: words.0))
    }

    func write(_ number: UInt64) throws(DiskError) {
        let buffer = ByteBuffer(capacity: 16)
        buffer.append(littleEndian: number)
        buffer.append(littleEndian: DurableMarkFile.checksum(number.littleEndian, store))
        try file.write(buffer.bytes, at: 0)
    }

    private static func checksum(_ littleEndian: UInt64, _ store: UInt64) -> UInt64 {
        withUnsafeBytes(of: littleEndian) { chash_xxh3_64_seeded($0.baseAddress, $0.count, store) }
    }
}
