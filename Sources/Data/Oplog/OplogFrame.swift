import BSON
public import Core
internal import COplog

/// A run of oplog entries as a secondary's fetcher is sent it.
public struct OplogFrame {
    /// The frame's bytes, for `Oplog.openFrame`.
    public let bytes: [UInt8]
    public let first: OpTime
    public let last: OpTime
    /// The entry before `first`, for the log-matching check; `.null` when the log never had one. It may have been
    /// truncated away since.
    public let previous: OpTime
    public let count: Int
}

/// Sealing and opening of frames (CSupport/COplog).
enum Frame {
    /// The frame of `content`, which holds `count` entries one behind the other.
    static func seal(_ content: UnsafeRawBufferPointer, count: Int, compress: Bool) throws -> [UInt8] {
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

    /// The content of `frame`, in memory that the caller frees, and how many entries it holds.
    static func open(_ frame: UnsafeRawBufferPointer) throws -> (content: UnsafeMutableRawBufferPointer, count: Int) {
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

    private static func check(_ status: coplog_status) throws {
        guard status == COPLOG_OK else {
            throw ServerError(.invalidBSON, "not an oplog frame: \(String(cString: coplog_status_text(status)))")
        }
    }
}

extension Oplog {
    /// Opens a frame that came from another member: verifies its checksum and that it holds exactly the documents that
    /// it says, each valid BSON, then calls `body` for each in order. Throws, without having called `body`, on anything
    /// else.
    public static func openFrame(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let (memory, count) = try Frame.open(bytes)
        defer { memory.deallocate() }
        let content = UnsafeRawBufferPointer(memory)
        var offset = 0
        var documents = 0
        while offset < content.count {
            let rest = UnsafeRawBufferPointer(rebasing: content[offset...])
            let document: DocumentView
            do {
                document = try DocumentView.validate(rest, depth: DocumentView.wrappedDepthMax)
            } catch {
                throw ServerError(.invalidBSON, "an oplog frame holds a bad document: \(error)")
            }
            offset += document.byteCount
            documents += 1
        }
        guard documents == count else {
            throw ServerError(.invalidBSON, "an oplog frame says \(count) entries and holds \(documents)")
        }
        offset = 0
        while offset < content.count {
            let document = DocumentView(base: UnsafeRawPointer(memory.baseAddress! + offset))
            try body(document.bytes)
            offset += document.byteCount
        }
    }
}
