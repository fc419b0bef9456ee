import BSON
internal import COplog

/// Frames of oplog entries: one behind the other, checksummed, and compressed where that helps. What a log seals and
/// what secondaries are sent (CSupport/COplog).
public enum LogFrame {
    /// The frame of `content`, which holds `count` entries.
    public static func seal(_ content: UnsafeRawBufferPointer, count: Int, compress: Bool) throws -> [UInt8] {
        let room = UnsafeMutableRawBufferPointer.allocate(
            byteCount: coplog_seal_bound(content.count, compress), alignment: 8)
        defer { room.deallocate() }
        var written = 0
        try check(
            coplog_seal(
                content.baseAddress, content.count, UInt32(truncatingIfNeeded: count), compress, room.baseAddress,
                room.count, &written))
        return [UInt8](UnsafeRawBufferPointer(rebasing: room[..<written]))
    }

    /// The content of `frame`, in memory that the caller frees, and how many entries it says that it holds.
    public static func open(
        _ frame: UnsafeRawBufferPointer
    ) throws -> (content: UnsafeMutableRawBufferPointer, count: Int) {
        var info = coplog_info()
        try check(coplog_verify(frame.baseAddress, frame.count, &info))
        let content = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(info.content_length), alignment: 8)
        do {
            try check(coplog_open(frame.baseAddress, frame.count, content.baseAddress, content.count))
        } catch {
            content.deallocate()
            throw error
        }
        return (content, Int(info.entry_count))
    }

    /// Bytes of a frame's header.
    public static let headerBytes = Int(COPLOG_HEADER_BYTES)

    /// How long a frame says that it is; nil when the bytes do not begin with the header of one.
    public static func byteCount(_ header: UnsafeRawBufferPointer) -> Int? {
        guard header.count >= headerBytes, header.prefix(4).elementsEqual("QOPF".utf8) else { return nil }
        let payload = UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        return payload <= COPLOG_CONTENT_BYTES_MAX ? headerBytes + Int(payload) : nil
    }

    /// Verifies a frame without opening it.
    /// - Throws: `ServerError` saying what is wrong.
    public static func check(_ frame: UnsafeRawBufferPointer) throws {
        var info = coplog_info()
        try check(coplog_verify(frame.baseAddress, frame.count, &info))
    }

    private static func check(_ status: coplog_status) throws {
        guard status == COPLOG_OK else {
            throw ServerError(.invalidBSON, "not an oplog frame: \(String(cString: coplog_status_text(status)))")
        }
    }
}
