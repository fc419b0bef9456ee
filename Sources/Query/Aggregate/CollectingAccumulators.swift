import BSON
import Core

/// `$first`, `$last`: by the order in which documents come.
final class PositionAccumulator: Accumulator {
    private let keepsLast: Bool
    private var isSet = false
    private(set) var result: Value?

    init(keepsLast: Bool) { self.keepsLast = keepsLast }

    func add(_ value: Value?) throws(ServerError) {
        if isSet && !keepsLast { return }
        isSet = true
        result = value
    }

    var memoryBytes: Int { result?.memoryBytes ?? 0 }
    var partial: Value? {
        guard isSet else { return nil }
        return .array(result.map { [$0] } ?? [])
    }
    func merge(_ partial: Value) throws(ServerError) {
        guard let values = partial.asArray else { throw malformedPartial() }
        try add(values.first)
    }
}

/// `$push`: every value, in order; missing ones are left out.
final class PushAccumulator: Accumulator {
    private var values: [Value] = []
    private(set) var memoryBytes = 0

    func add(_ value: Value?) throws(ServerError) {
        guard let value else { return }
        values.append(value)
        memoryBytes += value.memoryBytes
    }

    var result: Value? { .array(values) }
    var partial: Value? { result }
    func merge(_ partial: Value) throws(ServerError) {
        guard let others = partial.asArray else { throw malformedPartial() }
        for value in others { try add(value) }
    }
}

/// `$addToSet`: every distinct value, in the order in which each came first.
final class SetAccumulator: Accumulator {
    private var values: [Value] = []
    private var keys: Set<[UInt8]> = []
    private(set) var memoryBytes = 0

    func add(_ value: Value?) throws(ServerError) {
        guard let value, keys.insert(GroupKey.bytes(of: value)).inserted else { return }
        values.append(value)
        memoryBytes += 2 * value.memoryBytes
    }

    var result: Value? { .array(values) }
    var partial: Value? { result }
    func merge(_ partial: Value) throws(ServerError) {
        guard let others = partial.asArray else { throw malformedPartial() }
        for value in others { try add(value) }
    }
}

/// `$mergeObjects`: fields of later documents replace those of earlier ones.
final class MergeObjectsAccumulator: Accumulator {
    private var fields = OrderedFields()
    private(set) var memoryBytes = 0

    func add(_ value: Value?) throws(ServerError) {
        guard let value, !isNullish(value) else { return }
        guard case .document(let document) = value else {
            throw ServerError(
                location: 5_911_200, "$mergeObjects requires object inputs, but input is of type \(typeName(value))")
        }
        for field in document.fields { fields[field.key] = field.value }
        memoryBytes += value.memoryBytes
    }

    var result: Value? { .document(fields.document) }
    var partial: Value? { result }
    func merge(_ partial: Value) throws(ServerError) { try add(partial) }
}

/// `$firstN`, `$lastN`.
final class PositionListAccumulator: Accumulator {
    private let count: Int
    private let keepsLast: Bool
    private var values: [Value] = []
    /// How many of them, in front, are no longer among the last; given back when they are as many as those that are.
    private var passed = 0
    private(set) var memoryBytes = 0

    init(count: Int, keepsLast: Bool) {
        self.count = count
        self.keepsLast = keepsLast
    }

    func add(_ value: Value?) throws(ServerError) {
        let value = value ?? .null
        if values.count - passed == count {
            guard keepsLast else { return }
            memoryBytes -= values[passed].memoryBytes
            values[passed] = .null
            passed += 1
            if passed >= count {
                values.removeFirst(passed)
                passed = 0
            }
        }
        values.append(value)
        memoryBytes += value.memoryBytes
    }

    var result: Value? { .array(Array(values[passed...])) }
    var partial: Value? { result }
    func merge(_ partial: Value) throws(ServerError) {
        guard let others = partial.asArray else { throw malformedPartial() }
        for value in others { try add(value) }
    }
}

/// `$minN`, `$maxN`, `$top`, `$topN`, `$bottom`, `$bottomN`: the first or last so many in an order of values.
///
/// For the `$top` family each value is the pair of what is compared and what is shown.
final class OrderedListAccumulator: Accumulator {
    private let count: Int
    private let order: (Value, Value) -> Int
    private let shows: (Value) -> Value
    private let ignoresNull: Bool
    private let isSingle: Bool
    /// Whether the last of the order are kept.
    private let isReversed: Bool
    private var values: [Value] = []
    private(set) var memoryBytes = 0

    init(
        count: Int, isSingle: Bool = false, ignoresNull: Bool = false, isReversed: Bool = false,
        order: @escaping (Value, Value) -> Int, shows: @escaping (Value) -> Value = { $0 }
    ) {
        self.count = count
        self.isSingle = isSingle
        self.ignoresNull = ignoresNull
        self.isReversed = isReversed
        self.order = order
        self.shows = shows
    }

    func add(_ value: Value?) throws(ServerError) {
        if ignoresNull, isNullish(value) { return }
        let value = value ?? .null
        var (low, high) = (0, values.count)
        while low < high {
            let middle = (low + high) / 2
            if order(values[middle], value) <= 0 { low = middle + 1 } else { high = middle }
        }
        guard isReversed || low < count else { return }
        values.insert(value, at: low)
        memoryBytes += value.memoryBytes
        if values.count > count { memoryBytes -= (isReversed ? values.removeFirst() : values.removeLast()).memoryBytes }
    }

    var result: Value? {
        isSingle ? (isReversed ? values.last : values.first).map(shows) : .array(values.map(shows))
    }
    var partial: Value? { .array(values) }
    func merge(_ partial: Value) throws(ServerError) {
        guard let others = partial.asArray else { throw malformedPartial() }
        for value in others { try add(value) }
    }
}

/// Bytes by which values are the same group: equal for equal values, whatever their types (`1` and `1.0`).
enum GroupKey {
    static func bytes(of value: Value) -> [UInt8] {
        let buffer = ByteBuffer(capacity: 64)
        value.withView { IndexKey.append($0, to: buffer) }
        return buffer.toArray()
    }
}
