public import Core

/// What a storage over RocksDB can be told.
public struct RocksDBSettings: Sendable {
    /// Bytes of data that are kept in memory, uncompressed, as they were read.
    public var cacheBytes = Limits.storageCacheBytesDefault
    /// How long what was written may stay unsynced, unless somebody waits for it.
    public var journalCommitInterval = Limits.journalCommitInterval
    /// Bytes of a write buffer, which becomes a file when it is full; there are up to three. nil: a quarter of the
    /// cache, within bounds.
    public var writeBufferBytes: Int?

    public init() {}

    var writeBuffer: Int {
        writeBufferBytes ?? min(max(cacheBytes / 4, Limits.writeBufferBytesMin), Limits.writeBufferBytesMax)
    }
}

extension RocksDBSettings {
    /// As the command line takes them.
    public static let options = [
        PartOption(
            "cache-mb", default: "\(Limits.storageCacheBytesDefault >> 20)",
            help: "megabytes of data kept in memory; up to three write buffers of a quarter of it come on top"),
        PartOption(
            "journal-commit-interval", default: "\(Limits.journalCommitInterval.wholeMilliseconds)",
            help: "milliseconds that what was written may stay unsynced, unless somebody waits for it"),
    ]

    /// - Throws: `PartOptionError` for a bad value.
    public init(_ options: PartOptions) throws {
        if let size = try RocksDBSettings.number("cache-mb", in: 8...1_048_576, options) { cacheBytes = size << 20 }
        if let interval = try RocksDBSettings.number("journal-commit-interval", in: 1...500, options) {
            journalCommitInterval = .milliseconds(interval)
        }
    }

    private static func number(_ name: String, in range: ClosedRange<Int>, _ options: PartOptions) throws -> Int? {
        guard let text = options.values[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw PartOptionError(
                "rocksdb.\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
        }
        return number
    }
}
