public import BSON

/// The fields that a command, or a document inside one, may have.
///
/// What is not declared is refused (40415), a wrong type too (14), a missing required field (40414), a duplicate
/// (40413), and by name what MongoDB knows and Quorate has not built (115). A null for an optional field means that it
/// was not given.
public final class FieldTable: Sendable {
    /// Which declared fields a walk has met, a bit each.
    public struct Seen: Sendable {
        fileprivate var bits: UInt64 = 0
        /// Whether an optional field was null.
        public var hasNulls = false

        public init() {}

        /// Whether one of the marked fields was given.
        @inline(__always) public func contains(_ marks: UInt64) -> Bool { bits & marks != 0 }

        /// Whether no fields but the marked ones were given.
        @inline(__always) public func isWithin(_ marks: UInt64) -> Bool { bits & ~marks == 0 }

        /// Whether all fields that `table` requires were given.
        @inline(__always) public func hasAllRequired(of table: FieldTable) -> Bool { table.required & ~bits == 0 }
    }

    public let fields: [Field]
    /// Whether fields that are not declared are skipped, as MongoDB does for a few commands.
    public let isOpen: Bool
    fileprivate let required: UInt64
    /// Fields with more to check than the type.
    private let guarded: UInt64
    /// What every request looks at of `fields`, by a hash of the name: without bounds or reference counting.
    private nonisolated(unsafe) let slots: UnsafeMutablePointer<Slot>
    /// A power of two, at least twice as many as there are fields.
    private let slotCount: Int

    private struct Slot {
        var name = KeyView("")
        /// In `fields`; -1 in an empty slot.
        var index = -1
        var types = FieldTypes.any
        /// Whether null is a value of it.
        var takesNull = false
        /// Nothing is to be checked beyond the type but that a number is not negative.
        var isCount = false
    }

    public init(_ fields: [Field], isOpen: Bool = false) {
        precondition(fields.count <= 64, "a mask of 64 bits marks the fields that were given")
        self.fields = fields
        self.isOpen = isOpen
        var slotCount = 8
        while slotCount < 2 * fields.count { slotCount *= 2 }
        self.slotCount = slotCount
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: Slot(), count: slotCount)
        var required: UInt64 = 0
        var guarded: UInt64 = 0
        for (index, field) in fields.enumerated() {
            if field.rules.contains(.required) { required |= 1 << UInt64(index) }
            let isPlain = field.isWorking && field.inner == nil && field.check == nil
            let isCount = isPlain && field.rules.contains(.nonNegative)
            if !isPlain || isCount { guarded |= 1 << UInt64(index) }
            let name = KeyView(field.name)
            var slot = FieldTable.hash(name) & (slotCount - 1)
            while slots[slot].index >= 0 { slot = (slot &+ 1) & (slotCount - 1) }
            slots[slot] = Slot(
                name: name, index: index, types: field.types, takesNull: field.types == .any && field.isWorking,
                isCount: isCount)
        }
        self.required = required
        self.guarded = guarded
    }

    deinit { slots.deallocate() }

    /// No fields beside those that all commands have.
    public static let empty = FieldTable([])

    private static func hash(_ key: KeyView) -> Int {
        guard key.count > 0 else { return 0 }
        let first = Int(key.base.load(as: UInt8.self))
        let last = Int(key.base.load(fromByteOffset: key.count - 1, as: UInt8.self))
        return first &* 7 &+ last &* 31 &+ key.count
    }

    @inline(__always)
    private func slot(of key: KeyView) -> UnsafeMutablePointer<Slot>? {
        var slot = FieldTable.hash(key) & (slotCount &- 1)
        while slots[slot].index >= 0 {
            if key == slots[slot].name { return slots + slot }
            slot = (slot &+ 1) & (slotCount &- 1)
        }
        return nil
    }

    private func position(of key: KeyView) -> Int? { slot(of: key)?.pointee.index }

    /// What `Seen.contains` takes for a field; nothing when there is none of that name.
    public func mark(of name: StaticString) -> UInt64 { position(of: KeyView(name)).map { 1 << UInt64($0) } ?? 0 }

    /// What `Seen.contains` and `isWithin` take for fields; nothing for a name that none has.
    public func marks(of names: StaticString...) -> UInt64 {
        names.reduce(0) { $0 | mark(of: $1) }
    }

    /// Whether there is a field of that name.
    public func contains(_ key: KeyView) -> Bool { position(of: key) != nil }

    /// The declaration of a field.
    public subscript(_ key: KeyView) -> Field? { position(of: key).map { fields[$0] } }

    /// Checks one field of the document at `path` against its declaration. False when there is none.
    /// - Throws: what is wrong with it, with MongoDB's code.
    public func take(
        _ element: DocumentView.Element, _ seen: inout Seen, at path: @autoclosure () -> String
    ) throws(ServerError) -> Bool {
        guard let slot = slot(of: element.key) else { return isOpen }
        let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: slot.pointee.index)
        guard seen.bits & bit == 0 else { throw FieldTable.duplicate(element.key, at: path()) }
        if element.value.isNullish, !slot.pointee.takesNull {
            seen.hasNulls = true
            return true
        }
        seen.bits |= bit
        guard slot.pointee.types.contains(FieldTypes(rawType: element.value.rawType)) else {
            throw fields[slot.pointee.index].wrongType(element.value, at: path())
        }
        if guarded & bit != 0, !(slot.pointee.isCount && element.value.isPlainCount) {
            try fields[slot.pointee.index].checkValue(element.value, at: path())
        }
        return true
    }

    /// - Throws: 40414 when a required field was not among those seen; `hasSequence` says which came as sequences.
    public func checkComplete(
        _ seen: Seen, at path: @autoclosure () -> String, hasSequence: (StaticString) -> Bool = { _ in false }
    ) throws(ServerError) {
        var left = required & ~seen.bits
        while left != 0 {
            // Two members, not a copy of the field: every command comes here.
            let at = left.trailingZeroBitCount
            left &= left &- 1
            if fields[at].rules.contains(.sequence), hasSequence(fields[at].name) { continue }
            throw ServerError(
                .missingField, "BSON field '\(path()).\(fields[at].name)' is missing but a required field")
        }
    }

    /// Checks a whole document inside a command.
    public func check(_ document: DocumentView, at path: @autoclosure () -> String) throws(ServerError) {
        var seen = Seen()
        for element in document {
            guard try take(element, &seen, at: path()) else {
                throw FieldTable.unknown(element.key, at: path())
            }
        }
        try checkComplete(seen, at: path())
    }

    /// The error for a field that is given twice.
    public static func duplicate(_ key: KeyView, at path: String) -> ServerError {
        ServerError(.duplicateField, "BSON field '\(path).\(key.string)' is a duplicate field")
    }

    /// The error for a field that is not declared.
    public static func unknown(_ key: KeyView, at path: String) -> ServerError {
        ServerError(.unknownField, "BSON field '\(path).\(key.string)' is an unknown field.")
    }
}

extension Field {
    /// Whether the field is acted on.
    public var isWorking: Bool { if case .works = effect { true } else { false } }

    func wrongType(_ value: ValueView, at path: String) -> ServerError {
        ServerError(
            wrongTypeCode,
            "BSON field '\(path).\(name)' is the wrong type '\(value.type.operatorName)', expected "
                + types.expectation)
    }

    /// What holds beyond the type.
    func checkValue(_ value: ValueView, at path: @autoclosure () -> String) throws(ServerError) {
        if case .refused(let asksForNothing) = effect, asksForNothing?(value) != true {
            throw ServerError(
                .commandNotSupported,
                "The field '\(path()).\(name)' is not supported yet: \(meaning). Leave it out.")
        }
        if rules.contains(.nonNegative), let number = value.coercedInteger, number < 0 {
            throw ServerError(.badValue, "BSON field '\(name)' value must be >= 0, actual value '\(number)'")
        }
        if let check { try check(value) }
        guard let inner else { return }
        if let document = value.asDocument {
            try inner.check(document, at: "\(path()).\(name)")
        } else if let array = value.asArray {
            for element in array {
                guard let document = element.value.asDocument else {
                    throw ServerError(
                        .typeMismatch,
                        "BSON field '\(path()).\(name).\(element.key.string)' is the wrong type "
                            + "'\(element.value.type.operatorName)', expected type 'object'")
                }
                try inner.check(document, at: "\(path()).\(name)")
            }
        }
    }
}

extension ValueView {
    /// Whether it is an integer that is not negative, of a type that integers mostly come in.
    @inline(__always)
    fileprivate var isPlainCount: Bool { (asInt32.map { $0 >= 0 } ?? asInt64.map { $0 >= 0 }) ?? false }

    /// A number as an integer, the way commands take it: doubles are cut and decimals rounded, NaN is 0, what is beyond
    /// the range its end. Nil for what is no number.
    public var coercedInteger: Int64? {
        switch type {
        case .int32, .int64: asInteger
        case .double: asDouble.map { Int64(clampingDouble: $0) }
        case .decimal128: asDecimal128.map { $0.rounded().exactInt64 ?? Int64(clampingDouble: $0.doubleValue) }
        default: nil
        }
    }
}

extension Int64 {
    /// The integer nearest to zero of a double; NaN is 0, what is beyond the range its end.
    public init(clampingDouble value: Double) {
        self = Int64(exactly: value.rounded(.towardZero)) ?? (value > 0 ? .max : value < 0 ? .min : 0)
    }
}
