/// MongoDB's internal timestamp: seconds since 1970 and an increment within the second. Ordered as one unsigned number.
public struct Timestamp: Hashable, Comparable, Sendable {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(seconds: UInt32, increment: UInt32) {
        rawValue = UInt64(seconds) << 32 | UInt64(increment)
    }

    /// Before every timestamp that a member assigns; clients see it as `Timestamp(0, 0)`.
    public static let zero = Timestamp(rawValue: 0)
    public static let max = Timestamp(rawValue: .max)

    @inlinable public var seconds: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    @inlinable public var increment: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

    @inlinable public static func < (a: Timestamp, b: Timestamp) -> Bool { a.rawValue < b.rawValue }
}

extension Timestamp: CustomStringConvertible {
    public var description: String { "Timestamp(\(seconds), \(increment))" }
}
