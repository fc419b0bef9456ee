import BSON
import Core

/// The index keys that a predicate can match, and what a plan may conclude from them.
struct PredicateBounds {
    var bounds: FieldBounds
    /// Whether a document without the field never matches: then a sparse index may be used.
    var excludesMissing: Bool
    /// Whether every key within the bounds means a match: then the complement is the bounds of the negation.
    var isExact: Bool
    /// Whether null is among the matches: it also stands for what is missing inside arrays.
    var includesNull: Bool { bounds.intervals.contains { !($0.high < .null) && !(IntervalEnd.null < $0.low) } }
}

/// Turns predicates into bounds. Every document that matches has a key within them.
enum BoundsBuilder {
    /// Nil for a predicate that an index does not help with.
    static func bounds(_ predicate: ValuePredicate) -> PredicateBounds? {
        switch predicate {
        case let predicate as ComparisonPredicate: return comparison(predicate.comparison)
        case let predicate as InPredicate: return oneOf(predicate)
        case let predicate as RegexPredicate: return regex(predicate)
        case is ExistsPredicate:
            return PredicateBounds(bounds: .all, excludesMissing: true, isExact: false)
        case let predicate as ElementMatchValuePredicate: return elementMatch(predicate.condition)
        default: return nil
        }
    }

    private static func equality(_ value: Value) -> PredicateBounds {
        var intervals = [Interval.point(value)]
        guard case .array(let array) = value else {
            let isNull = value == .null
            return PredicateBounds(bounds: FieldBounds(intervals), excludesMissing: !isNull, isExact: !isNull)
        }
        // An array is indexed by its elements; an array inside an array by itself.
        intervals.append(Interval.point(array.values.first ?? .undefined))
        return PredicateBounds(bounds: FieldBounds(intervals), excludesMissing: true, isExact: false)
    }

    private static func comparison(_ comparison: Comparison) -> PredicateBounds? {
        let value = Value(comparison.operand)
        if comparison.operation == .equal {
            // What equals MinKey or MaxKey is only they themselves; regular expressions likewise.
            return equality(value)
        }
        if case .null = value {
            let isOpen = comparison.operation == .less || comparison.operation == .greater
            return PredicateBounds(
                bounds: FieldBounds(isOpen ? [] : [.point(.null)]), excludesMissing: isOpen, isExact: false)
        }
        guard !comparison.operand.isNaN, let bracket = TypeBracket.of(value.type) else { return nil }
        let end = IntervalEnd(value)
        let interval: Interval
        switch comparison.operation {
        case .greater: interval = Interval(end, false, bracket.high, bracket.includesHigh)
        case .greaterOrEqual: interval = Interval(end, true, bracket.high, bracket.includesHigh)
        case .less: interval = Interval(bracket.low, true, end, false)
        case .lessOrEqual: interval = Interval(bracket.low, true, end, true)
        case .equal: return nil
        }
        return PredicateBounds(bounds: FieldBounds([interval]), excludesMissing: true, isExact: true)
    }

    private static func oneOf(_ predicate: InPredicate) -> PredicateBounds? {
        var intervals: [Interval] = []
        var isExact = predicate.expressions.isEmpty
        for value in predicate.values {
            let one = equality(Value(value))
            intervals += one.bounds.intervals
            isExact = isExact && one.isExact
        }
        for expression in predicate.expressions { intervals += regex(expression).bounds.intervals }
        return PredicateBounds(
            bounds: FieldBounds(intervals), excludesMissing: !predicate.hasNull, isExact: isExact)
    }

    private static func regex(_ predicate: RegexPredicate) -> PredicateBounds {
        let expression = predicate.expression
        var intervals = [regexPoint(expression)]
        if let (prefix, _) = expression.literalPrefix {
            let low = IntervalEnd(.string(prefix))
            if let after = successor(prefix) {
                intervals.append(Interval(low, true, IntervalEnd(.string(after)), false))
            } else {
                intervals.append(Interval(low, true, IntervalEnd(.document(Document())), false))
            }
        } else {
            intervals.append(Interval(IntervalEnd(.string("")), true, IntervalEnd(.document(Document())), false))
        }
        return PredicateBounds(bounds: FieldBounds(intervals), excludesMissing: true, isExact: false)
    }

    /// Stored regular expressions may have their options in any order, so all of the pattern are looked at.
    private static func regexPoint(_ expression: RegularExpression) -> Interval {
        let shown = Value.regex(pattern: expression.pattern, options: expression.options)
        let low = IntervalEnd(.regex(pattern: expression.pattern, options: ""), shownAs: shown)
        let high = IntervalEnd(.regex(pattern: expression.pattern, options: "\u{7F}"), shownAs: shown)
        return Interval(low, true, high, true)
    }

    /// The smallest plain string behind all that start with `prefix`; nil when the last character has no successor.
    private static func successor(_ prefix: String) -> String? {
        var scalars = Array(prefix.unicodeScalars)
        guard let last = scalars.popLast(), let next = Unicode.Scalar(last.value + 1) else { return nil }
        scalars.append(next)
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        return String(text)
    }

    /// All conditions are about one element, so that their bounds may be intersected.
    private static func elementMatch(_ condition: ValuePredicate) -> PredicateBounds? {
        let children = (condition as? AllPredicate)?.children ?? [condition]
        var common: FieldBounds?
        for child in children {
            guard !(child is ElementMatchValuePredicate), let one = bounds(child) else { continue }
            common = common.map { $0.intersection(one.bounds) } ?? one.bounds
        }
        return common.map { PredicateBounds(bounds: $0, excludesMissing: true, isExact: false) }
    }
}

/// The least and the greatest value that values of a type compare with.
struct TypeBracket {
    let low: IntervalEnd
    let high: IntervalEnd
    let includesHigh: Bool

    /// Nil for types that a plan does not look for in ranges.
    static func of(_ type: BSONType) -> TypeBracket? {
        switch type {
        case .double, .int32, .int64, .decimal128: numbers
        case .string, .symbol: strings
        case .document: documents
        case .binary: binaries
        case .objectID: objectIDs
        case .bool: booleans
        case .dateTime: dates
        case .timestamp: timestamps
        default: nil
        }
    }

    private init(_ low: Value, _ high: Value, includesHigh: Bool = true) {
        self.low = IntervalEnd(low)
        self.high = IntervalEnd(high)
        self.includesHigh = includesHigh
    }

    private static let numbers = TypeBracket(.double(-.infinity), .double(.infinity))
    private static let strings = TypeBracket(.string(""), .document(Document()), includesHigh: false)
    private static let documents = TypeBracket(.document(Document()), .array([]), includesHigh: false)
    private static let binaries = TypeBracket(
        .binary(subtype: 0, []), .objectID(ObjectID(high: 0, low: 0)), includesHigh: false)
    private static let objectIDs = TypeBracket(
        .objectID(ObjectID(high: 0, low: 0)), .objectID(ObjectID(high: .max, low: .max)))
    private static let booleans = TypeBracket(.bool(false), .bool(true))
    private static let dates = TypeBracket(.dateTime(.min), .dateTime(.max))
    private static let timestamps = TypeBracket(
        .timestamp(Timestamp(rawValue: 0)), .timestamp(Timestamp(rawValue: .max)))
}
