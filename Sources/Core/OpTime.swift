public import BSON

/// The position of an oplog entry: the term of the primary that wrote it and its timestamp. Terms compare first.
@frozen public struct OpTime: Hashable, Comparable, Sendable {
    public var term: Int64
    public var timestamp: Timestamp

    @inlinable public init(term: Int64, timestamp: Timestamp) {
        self.term = term
        self.timestamp = timestamp
    }

    /// Before every entry: `{ts: Timestamp(0, 0), t: -1}`.
    public static let null = OpTime(term: -1, timestamp: .zero)
    @inlinable public var isNull: Bool { self == .null }

    @inlinable public static func < (a: OpTime, b: OpTime) -> Bool {
        a.term != b.term ? a.term < b.term : a.timestamp < b.timestamp
    }
}

extension OpTime: CustomStringConvertible {
    public var description: String { "(\(timestamp.seconds):\(timestamp.increment), t\(term))" }
}

extension DocumentWriter {
    /// Writes `{ts: Timestamp, t: Int64}`.
    public func append(_ key: StaticString, _ optime: OpTime) {
        document(key) {
            $0.append("ts", timestamp: optime.timestamp)
            $0.append("t", int64: optime.term)
        }
    }
}

extension OpTime {
    /// Reads `{ts, t}`; nil when a field is missing or of another type.
    public init?(_ view: DocumentView) {
        guard let timestamp = view["ts"]?.asTimestamp, let term = view["t"]?.asInteger else { return nil }
        self.init(term: term, timestamp: timestamp)
    }
}
