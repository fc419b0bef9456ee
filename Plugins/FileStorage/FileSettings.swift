public import Core

/// What a file storage can be told.
public struct FileSettings: Sendable {
    /// How long what was written may stay unsynced, unless somebody waits for it.
    public var journalCommitInterval = Limits.journalCommitInterval
    /// Bytes of journal behind which a checkpoint is written.
    public var checkpointJournalBytes = Limits.checkpointJournalBytes
    /// Bytes of operations that a checkpoint sorts at once; the size of the smallest runs.
    public var checkpointChunkBytes = Limits.checkpointChunkBytes
    /// Bytes of a segment of the journal.
    public var segmentBytes = Limits.journalSegmentBytes
    /// Stored bytes of the oplog that are kept in memory; the rest is read from its files when it is wanted.
    public var oplogMemoryBytes = Limits.oplogMemoryBytesMax
    /// Bytes of a segment of the oplog, at least; of a log that is to be small, fewer.
    public var oplogSegmentBytes = Limits.oplogSegmentBytes
    /// Bugs that are planted, in the simulator.
    var mutants: Mutants = []

    public init() {}
}

extension FileSettings {
    /// As the command line takes them.
    public static let options = [
        PartOption(
            "journal-commit-interval", default: "\(Limits.journalCommitInterval.wholeMilliseconds)",
            help: "milliseconds that what was written may stay unsynced, unless somebody waits for it"),
        PartOption(
            "checkpoint-journal", default: "\(Limits.checkpointJournalBytes >> 20)",
            help: "megabytes of journal behind which a checkpoint is written"),
        PartOption(
            "oplog-memory", default: "\(Limits.oplogMemoryBytesMax >> 20)",
            help: "megabytes of the oplog that are kept in memory; the rest is read from its files when it is wanted"),
    ]

    /// - Throws: `PartOptionError` for a bad value.
    public init(_ options: PartOptions) throws {
        if let interval = try FileSettings.number("journal-commit-interval", in: 1...500, options) {
            journalCommitInterval = .milliseconds(interval)
        }
        if let size = try FileSettings.number("checkpoint-journal", in: 1...65_536, options) {
            checkpointJournalBytes = size << 20
        }
        if let size = try FileSettings.number("oplog-memory", in: 1...65_536, options) { oplogMemoryBytes = size << 20 }
    }

    private static func number(_ name: String, in range: ClosedRange<Int>, _ options: PartOptions) throws -> Int? {
        guard let text = options.values[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw PartOptionError(
                "file.\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
        }
        return number
    }
}
