public import BSON

/// The BSON types that a declared field takes.
public struct FieldTypes: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The set of one type. The type bytes up to 0x13 are their own bits.
    public init(_ type: BSONType) { self.init(rawType: type.rawValue) }

    init(rawType: UInt8) {
        switch rawType {
        case BSONType.maxKey.rawValue: rawValue = 1 << 20
        case BSONType.minKey.rawValue: rawValue = 1 << 21
        default: rawValue = 1 << UInt32(rawType & 0x1F)
        }
    }

    public static let bool = FieldTypes(.bool)
    public static let string = FieldTypes(.string)
    public static let object = FieldTypes(.document)
    public static let array = FieldTypes(.array)
    public static let int = FieldTypes(.int32)
    public static let long = FieldTypes(.int64)
    public static let double = FieldTypes(.double)
    public static let objectID = FieldTypes(.objectID)
    public static let timestamp = FieldTypes(.timestamp)
    public static let binary = FieldTypes(.binary)
    public static let null = FieldTypes(.null)
    /// Any number. One with a fraction is cut to an integer where an integer is meant, as MongoDB's `safeInt` is.
    public static let number: FieldTypes = [.long, .int, FieldTypes(.decimal128), .double]
    /// A truth value, or a number that stands for one.
    public static let flag: FieldTypes = [.bool, .number]
    /// Every type, null included: null is a value here, and does not mean "not given".
    public static let any = FieldTypes(rawValue: .max)

    /// How error messages name the types: `type 'object'`, `types '[long, int, decimal, double]'`.
    var expectation: String {
        let names = FieldTypes.shown.filter { contains(FieldTypes($0)) }.map(\.operatorName)
        return names.count == 1 ? "type '\(names[0])'" : "types '[\(names.joined(separator: ", "))]'"
    }

    /// How the documentation names the types.
    public var summary: String {
        if self == .any { return "any" }
        var left = self
        var names: [String] = []
        if left.isSuperset(of: .flag) {
            names.append("bool or number")
            left.subtract(.flag)
        } else if left.isSuperset(of: .number) {
            names.append("number")
            left.subtract(.number)
        }
        names += FieldTypes.shown.filter { left.contains(FieldTypes($0)) }.map(\.operatorName)
        return names.joined(separator: " or ")
    }

    /// In the order in which MongoDB lists types.
    private static let shown: [BSONType] = [
        .bool, .string, .document, .array, .int64, .int32, .decimal128, .double, .objectID, .dateTime, .timestamp,
        .binary, .regex, .null,
    ]
}
