internal import BSON
internal import Data

/// What passed between this node and other members, by frames of oplog entries: `metrics.repl.network` of
/// `serverStatus`.
struct ReplicationCounters {
    /// From sync sources.
    var framesFetched: Int64 = 0
    var entriesFetched: Int64 = 0
    /// Bytes of frames, as they travelled.
    var frameBytesFetched: Int64 = 0
    /// Bytes of the entries in them, as they are kept and read.
    var entryBytesFetched: Int64 = 0
    /// To members that sync from here.
    var framesSent: Int64 = 0
    var entriesSent: Int64 = 0
    var frameBytesSent: Int64 = 0

    mutating func noteSent(_ frame: OplogFrame) {
        framesSent += 1
        entriesSent += Int64(frame.count)
        frameBytesSent += Int64(frame.bytes.count)
    }

    /// MongoDB's names for what it counts as well; `entryBytes` against `bytes` is what compression saves.
    func write(to writer: DocumentWriter) {
        writer.append("bytes", int64: frameBytesFetched)
        writer.append("entryBytes", int64: entryBytesFetched)
        writer.append("ops", int64: entriesFetched)
        writer.document("getmores") { $0.append("num", int64: framesFetched) }
        writer.document("oplogGetMoresProcessed") { $0.append("num", int64: framesSent) }
        writer.append("bytesSent", int64: frameBytesSent)
        writer.append("opsSent", int64: entriesSent)
    }
}

extension Node {
    /// Opens a frame that a sync source has sent, and counts it. `body` is called with each entry in order.
    func openFetched(_ frame: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        counters.replication.framesFetched += 1
        counters.replication.frameBytesFetched += Int64(frame.count)
        try Oplog.openFrame(frame) { entry in
            counters.replication.entriesFetched += 1
            counters.replication.entryBytesFetched += Int64(entry.count)
            try body(entry)
        }
    }
}
