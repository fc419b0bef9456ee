import BSON
import CHash
import CLZ4
import Core

/// How a journal lies in its files: segments of frames.
///
/// A segment is a file `journal/N` that is as long from the start as it may become. It begins with a header: 0 magic
/// "QJS1", 4 version u16, zero u16, 8 number u64, 16 epoch u64, 24 store u64, 32 XXH3 of the first 32 bytes, and frames
/// follow from `headerBytes` on, each at a multiple of eight: 0 magic "QJF1", 4 version u16, 6 flags u16 (1: LZ4; 2: a
/// mark, which holds nothing), 8 payload bytes u32, 12 bytes uncompressed u32, 16 number of its first batch u64, 24
/// batches u32, 28 zero u32, 32 number up to which the journal was synced when this was written u64, 40 checksum of the
/// frame before u64, 48 XXH3 of all this and the payload, seeded with segment and epoch, u64. The payload is batches in
/// their flat form (`WriteBatch.appendFlat`), one behind the other.
///
/// The seed makes a frame valid in its own place of its own epoch only: what a recycled file still holds is nothing. An
/// epoch ends with the process; recovery begins another, in a segment of its own.
enum JournalFormat {
    static let headerBytes = 512
    static let frameHeaderBytes = 56
    static let version: UInt16 = 1
    private static let segmentMagic: UInt32 = 0x3153_4A51
    private static let frameMagic: UInt32 = 0x3146_4A51
    private static let compressedFlag: UInt16 = 1
    private static let markFlag: UInt16 = 2

    /// Who a segment belongs to.
    struct Segment: Equatable {
        let number: UInt64
        let epoch: UInt64
        let store: UInt64

        var seed: UInt64 { epoch &* 0x9E37_79B9_7F4A_7C15 &+ number }
    }

    struct Frame {
        let first: UInt64
        let count: UInt32
        let synced: UInt64
        let previous: UInt64
        let checksum: UInt64
        let rawBytes: Int
        let payloadBytes: Int
        let isCompressed: Bool
        /// With header and padding.
        var byteCount: Int { JournalFormat.padded(JournalFormat.frameHeaderBytes + payloadBytes) }
        /// Number of the batch behind its last.
        var next: UInt64 { first &+ UInt64(count) }
    }

    static func padded(_ bytes: Int) -> Int { (bytes + 7) & ~7 }

    private static func hash(_ bytes: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
        chash_xxh3_64_seeded(bytes.baseAddress, bytes.count, seed)
    }

    // MARK: Writing

    static func appendHeader(_ segment: Segment, to buffer: ByteBuffer) {
        let start = buffer.count
        buffer.append(littleEndian: segmentMagic)
        buffer.append(littleEndian: version)
        buffer.append(littleEndian: UInt16(0))
        buffer.append(littleEndian: segment.number)
        buffer.append(littleEndian: segment.epoch)
        buffer.append(littleEndian: segment.store)
        let checksum = hash(UnsafeRawBufferPointer(start: buffer.base + start, count: 32), 0)
        buffer.append(littleEndian: checksum)
        let rest = headerBytes - (buffer.count - start)
        buffer.extend(by: rest).initializeMemory(as: UInt8.self, repeating: 0, count: rest)
    }

    /// Appends a frame of `content`, which is empty for a mark; returns its checksum.
    static func appendFrame(
        of content: UnsafeRawBufferPointer, first: UInt64, count: UInt32, synced: UInt64, previous: UInt64,
        in segment: Segment, to buffer: ByteBuffer
    ) -> UInt64 {
        let start = buffer.count
        _ = buffer.extend(by: frameHeaderBytes)
        var flags: UInt16 = content.isEmpty ? markFlag : 0
        var payload = content.count
        if content.count >= Limits.journalCompressedBytesMin, content.count <= Limits.journalCompressedBytesMax {
            let bound = Int(LZ4_compressBound(Int32(content.count)))
            let at = buffer.extend(by: bound)
            let written = LZ4_compress_default(
                content.baseAddress?.assumingMemoryBound(to: CChar.self), at.assumingMemoryBound(to: CChar.self),
                Int32(content.count), Int32(bound))
            // Less than an eighth is not worth opening it again.
            if written > 0, Int(written) < content.count - content.count / 8 {
                flags |= compressedFlag
                payload = Int(written)
            }
            buffer.truncate(to: start + frameHeaderBytes + (flags & compressedFlag != 0 ? payload : 0))
        }
        if flags & compressedFlag == 0 { buffer.append(content) }
        let header = buffer.base + start
        header.storeBytes(of: frameMagic.littleEndian, as: UInt32.self)
        header.storeBytes(of: version.littleEndian, toByteOffset: 4, as: UInt16.self)
        header.storeBytes(of: flags.littleEndian, toByteOffset: 6, as: UInt16.self)
        header.storeBytes(of: UInt32(payload).littleEndian, toByteOffset: 8, as: UInt32.self)
        header.storeBytes(of: UInt32(content.count).littleEndian, toByteOffset: 12, as: UInt32.self)
        header.storeBytes(of: first.littleEndian, toByteOffset: 16, as: UInt64.self)
        header.storeBytes(of: count.littleEndian, toByteOffset: 24, as: UInt32.self)
        header.storeBytes(of: UInt32(0), toByteOffset: 28, as: UInt32.self)
        header.storeBytes(of: synced.littleEndian, toByteOffset: 32, as: UInt64.self)
        header.storeBytes(of: previous.littleEndian, toByteOffset: 40, as: UInt64.self)
        let checksum = checksum(of: UnsafeRawBufferPointer(start: header, count: frameHeaderBytes + payload), segment)
        header.storeBytes(of: checksum.littleEndian, toByteOffset: 48, as: UInt64.self)
        let rest = padded(frameHeaderBytes + payload) - (frameHeaderBytes + payload)
        buffer.extend(by: rest).initializeMemory(as: UInt8.self, repeating: 0, count: rest)
        return checksum
    }

    private static func checksum(of frame: UnsafeRawBufferPointer, _ segment: Segment) -> UInt64 {
        let header = hash(UnsafeRawBufferPointer(rebasing: frame[..<48]), segment.seed)
        return hash(UnsafeRawBufferPointer(rebasing: frame[frameHeaderBytes...]), header)
    }

    // MARK: Reading

    /// nil when the bytes are no header of a segment.
    /// - Throws: when it is one of a later version.
    static func readHeader(_ bytes: UnsafeRawBufferPointer, of path: String) throws(StorageDamage) -> Segment? {
        guard bytes.count >= headerBytes, UInt32(littleEndian: bytes.load(as: UInt32.self)) == segmentMagic,
            UInt64(littleEndian: bytes.load(fromByteOffset: 32, as: UInt64.self))
                == hash(UnsafeRawBufferPointer(rebasing: bytes[..<32]), 0)
        else { return nil }
        let found = UInt16(littleEndian: bytes.load(fromByteOffset: 4, as: UInt16.self))
        guard found == version else { throw StorageDamage(newer: path, version: Int(found), known: Int(version)) }
        return Segment(
            number: UInt64(littleEndian: bytes.load(fromByteOffset: 8, as: UInt64.self)),
            epoch: UInt64(littleEndian: bytes.load(fromByteOffset: 16, as: UInt64.self)),
            store: UInt64(littleEndian: bytes.load(fromByteOffset: 24, as: UInt64.self)))
    }

    /// Whether the magic of a frame stands there.
    static func mayBeFrame(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Bool {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) == frameMagic
    }

    /// What the header of a frame says that it takes, without padding; nil when it is none.
    static func frameBytes(_ header: UnsafeRawBufferPointer) -> Int? {
        guard header.count >= frameHeaderBytes, mayBeFrame(header, 0) else { return nil }
        return frameHeaderBytes + Int(UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    }

    /// The frame that `bytes` begins with; nil when there is no whole, undamaged one.
    static func readFrame(_ bytes: UnsafeRawBufferPointer, in segment: Segment, checks: Bool = true) -> Frame? {
        guard bytes.count >= frameHeaderBytes else { return nil }
        func word(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        func long(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        let flags = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        let payload = Int(word(8))
        guard word(0) == frameMagic, flags < 4, payload <= bytes.count - frameHeaderBytes,
            !checks
                || long(48)
                    == checksum(of: UnsafeRawBufferPointer(rebasing: bytes[..<(frameHeaderBytes + payload)]), segment)
        else { return nil }
        return Frame(
            first: long(16), count: word(24), synced: long(32), previous: long(40), checksum: long(48),
            rawBytes: Int(word(12)), payloadBytes: payload, isCompressed: flags & compressedFlag != 0)
    }

    /// Appends the batches of a frame, uncompressed. False when they cannot be had, in spite of the checksum.
    static func open(_ frame: Frame, _ bytes: UnsafeRawBufferPointer, to buffer: ByteBuffer) -> Bool {
        let payload = UnsafeRawBufferPointer(
            rebasing: bytes[frameHeaderBytes..<(frameHeaderBytes + frame.payloadBytes)])
        return unpack(payload, rawBytes: frame.rawBytes, isCompressed: frame.isCompressed, to: buffer)
    }

    /// Appends `rawBytes` of what was stored; false when it is something else.
    static func unpack(
        _ stored: UnsafeRawBufferPointer, rawBytes: Int, isCompressed: Bool, to buffer: ByteBuffer
    ) -> Bool {
        guard isCompressed else {
            buffer.append(stored)
            return stored.count == rawBytes
        }
        guard stored.count <= Int(Int32.max), rawBytes <= Limits.journalCompressedBytesMax else { return false }
        let start = buffer.count
        let room = buffer.extend(by: rawBytes)
        let written = LZ4_decompress_safe(
            stored.baseAddress?.assumingMemoryBound(to: CChar.self), room.assumingMemoryBound(to: CChar.self),
            Int32(stored.count), Int32(rawBytes))
        if Int(written) == rawBytes { return true }
        buffer.truncate(to: start)
        return false
    }
}
