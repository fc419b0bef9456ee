public import BSON
public import Core

/// What the balancer is told by `config.settings`.
public struct BalancerSettings: Hashable, Sendable {
    /// A part of each day, in minutes from midnight. One that ends before it begins lasts over midnight.
    public struct Window: Hashable, Sendable {
        /// The first minute.
        public let start: Int
        /// The first minute behind it.
        public let stop: Int

        /// Reads `"23:00"` and `"6:00"`.
        /// - Throws: `BadValue` for what is no time of day, or two equal ones.
        public init(start: String, stop: String) throws(ServerError) {
            guard let first = Window.minutes(start), let end = Window.minutes(stop) else {
                throw ServerError(
                    .badValue, "The balancer's window needs times such as '23:00', not '\(start)' and '\(stop)'")
            }
            guard first != end else {
                throw ServerError(.badValue, "The balancer's window begins when it ends: \(start)")
            }
            self.start = first
            self.stop = end
        }

        private static func minutes(_ text: String) -> Int? {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ (1...2).contains($0.utf8.count) }),
                parts.allSatisfy({ $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }),
                let hour = Int(parts[0]), let minute = Int(parts[1]), hour < 24, minute < 60
            else { return nil }
            return hour * 60 + minute
        }

        /// Whether a minute of the day is in it.
        public func contains(minute: Int) -> Bool {
            start < stop ? (start..<stop).contains(minute) : minute >= start || minute < stop
        }
    }

    /// `balancerStop` was called.
    public var isStopped = false
    /// The part of the day in which it works; nil for all of it.
    public var window: Window?
    /// The configured size of a chunk in bytes, where a collection has none of its own.
    public var chunkSize: Int64 = BalancerSettings.defaultChunkSize

    /// MongoDB's: 128 MB.
    public static let defaultChunkSize: Int64 = 128 << 20

    /// What holds when nothing is configured.
    public init() {}

    /// Reads documents of `config.settings`; those of others are left alone.
    /// - Throws: `BadValue`, `TypeMismatch` for what cannot be.
    public init(_ documents: [Document]) throws(ServerError) {
        for document in documents {
            switch document["_id"] {
            case .string("chunksize"): chunkSize = try BalancerSettings.chunkSize(document["value"])
            case .string("balancer"):
                if let stopped = document["stopped"] {
                    guard let flag = stopped.asBool else {
                        throw ServerError(.typeMismatch, "'stopped' of the balancer's settings must be a bool")
                    }
                    isStopped = flag
                }
                if let mode = document["mode"]?.asString {
                    guard ["full", "off", "autoSplitOnly"].contains(mode) else {
                        throw ServerError(.badValue, "The balancer's mode must be 'full' or 'off', not '\(mode)'")
                    }
                    isStopped = isStopped || mode != "full"
                }
                if let window = document["activeWindow"]?.asDocument {
                    self.window = try Window(
                        start: window["start"]?.asString ?? "", stop: window["stop"]?.asString ?? "")
                }
            default: break
            }
        }
    }

    /// Reads a size in megabytes.
    /// - Throws: `BadValue` for what is not from 1 to 1024.
    public static func chunkSize(_ value: Value?) throws(ServerError) -> Int64 {
        guard let megabytes = value?.asInteger, (1...1024).contains(megabytes) else {
            throw ServerError(.badValue, "The chunk size must be a whole number of megabytes from 1 to 1024")
        }
        return megabytes << 20
    }

    /// Whether ranges may be moved now.
    public func isActive(minuteOfDay: Int) -> Bool {
        !isStopped && (window?.contains(minute: minuteOfDay) ?? true)
    }
}

/// A shard as the balancer sees it.
public struct BalancerShard: Hashable, Sendable {
    /// Its name.
    public let id: ShardID
    /// Its zones.
    public let zones: Set<String>
    /// It is to be removed: everything leaves it, nothing comes.
    public let isDraining: Bool

    /// A shard.
    public init(_ id: ShardID, zones: Set<String> = [], isDraining: Bool = false) {
        self.id = id
        self.zones = zones
        self.isDraining = isDraining
    }
}
