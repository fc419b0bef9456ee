import BSON
public import Core

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

extension Oplog {
    /// Opens a frame that came from another member: verifies its checksum and that it holds exactly the documents that
    /// it says, each valid BSON, then calls `body` for each in order. Throws, without having called `body`, on anything
    /// else.
    public static func openFrame(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let (memory, count) = try LogFrame.open(bytes)
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
