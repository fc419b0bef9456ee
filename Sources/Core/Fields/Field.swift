public import BSON

/// One field that a command, or a document inside one, may have: declared once, checked for every request, and listed
/// by `docs/compatibility.md`.
public struct Field: Sendable {
    /// What happens to a field that is given.
    public enum Effect: Sendable {
        /// It is acted on.
        case works
        /// It is taken and changes nothing, for the reason given; MongoDB 8.0 does the same.
        case none(StaticString)
        /// MongoDB has it and Quorate does not: refused by name, unless the value asks for nothing.
        case refused(unless: (@Sendable (ValueView) -> Bool)?)
    }

    public struct Rules: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The command cannot do without it.
        public static let required = Rules(rawValue: 1 << 0)
        /// Its documents may come as a document sequence instead.
        public static let sequence = Rules(rawValue: 1 << 1)
        /// Not part of Stable API version 1: refused with `apiStrict`.
        public static let unstable = Rules(rawValue: 1 << 2)
        /// A number that may not be negative.
        public static let nonNegative = Rules(rawValue: 1 << 3)
    }

    public let name: StaticString
    public let types: FieldTypes
    public let rules: Rules
    public let effect: Effect
    /// One line for the documentation; no period.
    public let meaning: StaticString
    /// The fields of a document under this name, checked with it.
    public let inner: FieldTable?
    /// What holds beyond the type.
    public let check: (@Sendable (ValueView) throws(ServerError) -> Void)?
    /// The error for a value of another type.
    public let wrongTypeCode: ErrorCode

    public init(
        _ name: StaticString, _ types: FieldTypes, _ rules: Rules, _ meaning: StaticString,
        inner: FieldTable? = nil, effect: Effect = .works, wrongTypeCode: ErrorCode = .typeMismatch,
        check: (@Sendable (ValueView) throws(ServerError) -> Void)? = nil
    ) {
        self.name = name
        self.types = types
        self.rules = rules
        self.effect = effect
        self.meaning = meaning
        self.inner = inner
        self.check = check
        self.wrongTypeCode = wrongTypeCode
    }

    /// An optional field without further rules.
    public init(
        _ name: StaticString, _ types: FieldTypes, _ meaning: StaticString, inner: FieldTable? = nil,
        effect: Effect = .works, wrongTypeCode: ErrorCode = .typeMismatch,
        check: (@Sendable (ValueView) throws(ServerError) -> Void)? = nil
    ) {
        self.init(
            name, types, [], meaning, inner: inner, effect: effect, wrongTypeCode: wrongTypeCode, check: check)
    }

    /// A field of MongoDB 8.0 that is not there yet.
    public static func missing(
        _ name: StaticString, _ meaning: StaticString, unlessFalsy: Bool = false, _ rules: Rules = [],
        types: FieldTypes = .any
    ) -> Field {
        guard unlessFalsy else { return Field(name, types, rules, meaning, effect: .refused(unless: nil)) }
        return missing(name, meaning, rules, types: types) { !$0.isTruthy }
    }

    /// A field of MongoDB 8.0 that is not there yet; with some values it asks for what is so anyway.
    public static func missing(
        _ name: StaticString, _ meaning: StaticString, _ rules: Rules = [], types: FieldTypes = .any,
        unless asksForNothing: @escaping @Sendable (ValueView) -> Bool
    ) -> Field {
        Field(name, types, rules, meaning, effect: .refused(unless: asksForNothing))
    }

    /// A field that MongoDB 8.0 takes and does not act on either.
    public static func inert(
        _ name: StaticString, _ types: FieldTypes, _ rules: Rules = [], because reason: StaticString
    ) -> Field {
        Field(name, types, rules, reason, effect: .none(reason))
    }
}
