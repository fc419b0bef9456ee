import BSON
import Core

/// A compiled condition on one value. Not a plug point: a closed family of final classes.
class ValuePredicate {
    /// Whether an array at the end of a path is tried element by element before it is tried itself.
    var expandsArrays: Bool { true }
    /// Whether `value` satisfies the condition; nil is a missing field.
    func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool { true }
    /// The operator document, for `explain`.
    func describe() -> Document { Document() }
    /// What matching one value may take.
    var weight: MatchWeight { .one }
}

/// All of several conditions, on the same value.
final class AllPredicate: ValuePredicate {
    let children: [ValuePredicate]
    init(_ children: [ValuePredicate]) { self.children = children }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        try details.first(of: children.count) { (index, details) throws(ServerError) in
            try !children[index].matches(value, &details)
        } == nil
    }
    override var weight: MatchWeight { children.reduce(.one) { $0 + $1.weight } }
    override func describe() -> Document {
        Document { writer in
            for child in children { for (name, value) in child.describe().fields { writer.append(name, value) } }
        }
    }
}

/// The negation of a condition on one value.
final class NotPredicate: ValuePredicate {
    let child: ValuePredicate
    init(_ child: ValuePredicate) { self.child = child }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        var ignored = details.ignored
        return try !child.matches(value, &ignored)
    }
    override var weight: MatchWeight { child.weight }
    override func describe() -> Document { ["$not": .document(child.describe())] }
}

/// `$exists: true`.
final class ExistsPredicate: ValuePredicate {
    override var expandsArrays: Bool { false }
    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        value != nil
    }
    override func describe() -> Document { ["$exists": true] }
}

/// `$size`.
final class SizePredicate: ValuePredicate {
    let size: Int64
    init(_ size: Int64) { self.size = size }
    override var expandsArrays: Bool { false }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let array = value?.asArray else { return false }
        return Int64(array.fieldCount) == size
    }
    override func describe() -> Document { ["$size": .int64(size)] }
}

/// `$type`: a set of BSON types.
final class TypePredicate: ValuePredicate {
    let types: Set<BSONType>
    let source: Value
    init(_ types: Set<BSONType>, source: Value) {
        self.types = types
        self.source = source
    }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        value.map { types.contains($0.type) } ?? false
    }
    override func describe() -> Document { ["$type": source] }
}

/// `$mod`: the remainder of a truncated division.
final class ModPredicate: ValuePredicate {
    let divisor: Int64
    let remainder: Int64
    init(divisor: Int64, remainder: Int64) {
        self.divisor = divisor
        self.remainder = remainder
    }

    override func matches(_ value: ValueView?, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        guard let value, let dividend = ModPredicate.truncated(value) else { return false }
        // The remainder of Int64.min by -1 does not fit the processor's division; it is 0.
        return (divisor == -1 ? 0 : dividend % divisor) == remainder
    }
    override func describe() -> Document { ["$mod": [.int64(divisor), .int64(remainder)]] }

    /// A number without its fraction, when it fits 64 bits.
    static func truncated(_ value: ValueView) -> Int64? {
        if let integer = value.asInteger { return integer }
        guard value.type.isNumber, let number = value.asNumber, number.isFinite else { return nil }
        return Int64(exactly: number.rounded(.towardZero))
    }
}
