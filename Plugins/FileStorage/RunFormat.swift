import BSON
import CHash
import CLZ4
import CRun
import Core

/// How a run lies in its file: blocks of operations, sorted by table and key (`CRun`).
///
/// A block, little-endian: 0 magic "QRB1", 4 version u16, 6 flags u16 (1: LZ4), 8 stored bytes u32, 12 bytes
/// uncompressed u32, 16 its place in the file u64, 24 XXH3 of the first 24 bytes and what is stored, seeded with the
/// run's number, u64. A block holds whole operations.
enum RunFormat {
    static let blockHeaderBytes = 32
    static let version: UInt16 = 1
    private static let magic: UInt32 = 0x3142_5251

    static func appendBlock(_ operations: UnsafeRawBufferPointer, at place: Int, of run: UInt64, to buffer: ByteBuffer)
    {
        let start = buffer.count
        _ = buffer.extend(by: blockHeaderBytes)
        var isCompressed = false
        if operations.count <= Limits.journalCompressedBytesMax {
            let bound = Int(LZ4_compressBound(Int32(operations.count)))
            let at = buffer.extend(by: bound)
            let written = LZ4_compress_default(
                operations.baseAddress?.assumingMemoryBound(to: CChar.self), at.assumingMemoryBound(to: CChar.self),
                Int32(operations.count), Int32(bound))
            isCompressed = written > 0 && Int(written) < operations.count - operations.count / 8
            buffer.truncate(to: start + blockHeaderBytes + (isCompressed ? Int(written) : 0))
        }
        if !isCompressed { buffer.append(operations) }
        let stored = buffer.count - start - blockHeaderBytes
        let header = buffer.base + start
        header.storeBytes(of: magic.littleEndian, as: UInt32.self)
        header.storeBytes(of: version.littleEndian, toByteOffset: 4, as: UInt16.self)
        header.storeBytes(of: UInt16(isCompressed ? 1 : 0).littleEndian, toByteOffset: 6, as: UInt16.self)
        header.storeBytes(of: UInt32(stored).littleEndian, toByteOffset: 8, as: UInt32.self)
        header.storeBytes(of: UInt32(operations.count).littleEndian, toByteOffset: 12, as: UInt32.self)
        header.storeBytes(of: UInt64(place).littleEndian, toByteOffset: 16, as: UInt64.self)
        let checksum = checksum(UnsafeRawBufferPointer(start: header, count: blockHeaderBytes + stored), run)
        header.storeBytes(of: checksum.littleEndian, toByteOffset: 24, as: UInt64.self)
    }

    private static func checksum(_ block: UnsafeRawBufferPointer, _ run: UInt64) -> UInt64 {
        let header = chash_xxh3_64_seeded(block.baseAddress, 24, run)
        return chash_xxh3_64_seeded(
            block.baseAddress.map { $0 + blockHeaderBytes }, block.count - blockHeaderBytes, header)
    }

    struct Header {
        let storedBytes: Int
        let rawBytes: Int
        let isCompressed: Bool
    }

    /// What the first bytes of a block say, before anything is known of the rest; nil when they are something else.
    static func readHeader(_ bytes: UnsafeRawBufferPointer, at place: Int) -> Header? {
        guard bytes.count >= blockHeaderBytes else { return nil }
        func word(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        let flags = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        guard word(0) == magic, flags < 2, word(8) <= Limits.runBlockStoredBytesMax,
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)) == UInt64(place)
        else { return nil }
        return Header(storedBytes: Int(word(8)), rawBytes: Int(word(12)), isCompressed: flags == 1)
    }

    /// Appends the operations of a whole block; false when it is damaged.
    static func open(_ block: UnsafeRawBufferPointer, _ header: Header, of run: UInt64, to buffer: ByteBuffer) -> Bool {
        guard block.count == blockHeaderBytes + header.storedBytes,
            UInt64(littleEndian: block.loadUnaligned(fromByteOffset: 24, as: UInt64.self)) == checksum(block, run)
        else { return false }
        let start = buffer.count
        let stored = UnsafeRawBufferPointer(rebasing: block[blockHeaderBytes...])
        return JournalFormat.unpack(stored, rawBytes: header.rawBytes, isCompressed: header.isCompressed, to: buffer)
            && crun_check(buffer.base + start, buffer.count - start, true)
    }
}

/// What is known of a run without opening it.
struct Run: Sendable, Equatable {
    var number: UInt64
    /// Bytes of its file.
    var bytes: Int
    /// Bytes of its operations.
    var rawBytes: Int
}

/// Writes a run, block by block. On helper threads.
final class RunWriter {
    private let file: any DiskFile
    private let number: UInt64
    private var place = 0
    private var rawBytes = 0
    private let block = ByteBuffer(capacity: Limits.runBlockBytes * 2)
    private let output = ByteBuffer(capacity: 1 << 20)

    init(_ disk: any Disk, _ path: String, number: UInt64) throws(DiskError) {
        file = try disk.open(path, create: true)
        try file.resize(to: 0)
        self.number = number
    }

    /// Adds operations that come behind all before.
    func append(_ operations: UnsafeRawBufferPointer) throws(DiskError) {
        var at = 0
        while at < operations.count {
            let length = operationBytes(operations, at)
            if block.count > 0, block.count + length > Limits.runBlockBytes { try endBlock() }
            block.append(UnsafeRawBufferPointer(rebasing: operations[at..<(at + length)]))
            at += length
        }
    }

    private func operationBytes(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let key = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 5, as: UInt32.self))
        let value = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 9, as: UInt32.self))
        return Int(CRUN_HEADER_BYTES) + Int(key) + Int(value)
    }

    private func endBlock() throws(DiskError) {
        rawBytes += block.count
        RunFormat.appendBlock(block.bytes, at: place + output.count, of: number, to: output)
        block.removeAll(keeping: Limits.runBlockBytes * 2)
        if output.count >= 1 << 20 { try writeOut() }
    }

    private func writeOut() throws(DiskError) {
        try file.write(output.bytes, at: place)
        place += output.count
        output.removeAll(keeping: 4 << 20)
    }

    /// Makes the run durable, but for its name.
    func end() throws(DiskError) -> Run {
        if block.count > 0 { try endBlock() }
        try writeOut()
        try file.sync()
        return Run(number: number, bytes: place, rawBytes: rawBytes)
    }
}

/// Reads a run, block by block. On helper threads.
final class RunReader {
    private let file: any DiskFile
    private let run: Run
    private var place = 0
    private let input = ByteBuffer(capacity: 1 << 20)
    private var consumed = 0
    /// The operations of the last block.
    let operations = ByteBuffer(capacity: Limits.runBlockBytes * 2)

    init(_ disk: any Disk, _ layout: FileLayout, _ run: Run) throws {
        let path = layout.run(run.number)
        guard let file = try disk.openExisting(path) else {
            throw StorageDamage(path, offset: 0, "the file is missing")
        }
        self.file = file
        self.run = run
    }

    var isAtEnd: Bool { place >= run.bytes }
    /// How far it is in the file.
    var position: Int { place }

    /// Reads the next block into `operations`; false at the end.
    func next() throws -> Bool {
        operations.removeAll(keeping: 4 << 20)
        guard !isAtEnd else { return false }
        guard let header = RunFormat.readHeader(try bytes(RunFormat.blockHeaderBytes), at: place) else {
            throw StorageDamage(file.path, offset: place, "no block begins there")
        }
        let length = RunFormat.blockHeaderBytes + header.storedBytes
        guard RunFormat.open(try bytes(length), header, of: run.number, to: operations) else {
            throw StorageDamage(file.path, offset: place, "the checksum of a block does not fit its content")
        }
        consumed += length
        place += length
        return true
    }

    /// The next bytes, as many as asked for unless the run ends before.
    private func bytes(_ count: Int) throws(DiskError) -> UnsafeRawBufferPointer {
        if input.count - consumed < count {
            input.removeFirst(consumed)
            consumed = 0
            let wanted = min(max(count, 1 << 20), run.bytes - place) - input.count
            if wanted > 0 {
                let start = input.count
                let room = UnsafeMutableRawBufferPointer(start: input.extend(by: wanted), count: wanted)
                let got = try file.read(into: room, at: place + start)
                input.truncate(to: start + got)
            }
        }
        let end = min(consumed + count, input.count)
        return UnsafeRawBufferPointer(rebasing: input.bytes[consumed..<end])
    }
}
