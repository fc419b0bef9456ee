public import BSON
public import Core

/// A run of oplog entries as a secondary's fetcher is sent it.
public struct OplogFrame {
    /// The frame's bytes, for `Oplog.openFrame`.
    public let bytes: [UInt8]
    public let first: OpTime
    public let last: OpTime
    /// The entry before `first`, for the log-matching check; `.null` when the log starts with `first`.
    public let previous: OpTime
    public let count: Int
}

/// The member's operation log.
public final class Oplog {
    public let bytesMax: Int
    private var entries: [(OpTime, [UInt8])] = []

    public init(bytesMax: Int) { self.bytesMax = bytesMax }

    public func append(_ entry: UnsafeRawBufferPointer, optime: OpTime) {
        entries.append((optime, [UInt8](entry)))
    }
    public var first: OpTime? { entries.first?.0 }
    public var last: OpTime? { entries.last?.0 }
    public var count: Int { entries.count }
    public var byteCount: Int { entries.reduce(0) { $0 + $1.1.count } }
    public var storedBytes: Int { byteCount }
    public func contains(_ optime: OpTime) -> Bool { entries.contains { $0.0 == optime } }
    public func optime(at timestamp: Timestamp) -> OpTime? { entries.first { $0.0.timestamp == timestamp }?.0 }
    public func read(
        from timestamp: Timestamp, inclusive: Bool, direction: ScanDirection, limitEntries: Int, limitBytes: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) rethrows {
        var rest = limitEntries
        let run = direction == .forward ? entries : entries.reversed()
        for (optime, bytes) in run where rest > 0 {
            let ts = optime.timestamp
            let inRange = direction == .forward ? ts > timestamp : ts < timestamp
            guard inRange || (inclusive && ts == timestamp) else { continue }
            rest -= 1
            if try !bytes.withUnsafeBytes({ try body($0) }) { return }
        }
    }
    public func truncate(after timestamp: Timestamp) throws { entries.removeAll { $0.0.timestamp > timestamp } }
    public func setCommitPoint(_ timestamp: Timestamp) {}
    public func pinOldest(_ timestamp: Timestamp?) {}
    public func removeAll() { entries = [] }
    public func nextFrame(after timestamp: Timestamp, limitBytes: Int) -> OplogFrame? { nil }
    public static func openFrame(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {}
}
