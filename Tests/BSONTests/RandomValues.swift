import BSON
import Core

/// Values that collide often: small numbers in all types, short text over few characters, shallow documents.
extension SplitMix64 {
    mutating func decimal() -> Decimal128 {
        switch below(20) {
        case 0: return .nan
        case 1: return .infinity(isNegative: oneIn(2))
        default: break
        }
        let digits =
            oneIn(3) ? String(below(30)) : String(UInt128(next()) << 64 | UInt128(next())).prefix(1 + below(34)) + ""
        let exponent = oneIn(3) ? below(12_200) - 6100 : oneIn(2) ? below(700) - 370 : below(8) - 5
        return Decimal128("\(oneIn(2) ? "-" : "")\(digits)E\(exponent)", isRounding: true)!
    }

    mutating func double() -> Double {
        switch below(6) {
        case 0: return Double(bitPattern: next())
        case 1:
            return [0.0, -0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, .greatestFiniteMagnitude][below(7)]
        case 2: return Double(below(40) - 20) / 10
        case 3:
            return Double(sign: oneIn(2) ? .minus : .plus, exponent: 50 + below(20), significand: 1) + Double(below(3))
        default: return Double(below(40) - 20) / 4
        }
    }

    mutating func integer() -> Int64 {
        switch below(4) {
        case 0: return Int64(bitPattern: next()) >> Int64(below(64))
        case 1:
            let limit: Int64 = 9_007_199_254_740_992
            let edges: [Int64] = [.min, .max, limit, -limit]
            return edges[below(4)] &+ Int64(below(3)) &- 1
        default: return Int64(below(12) - 6)
        }
    }

    mutating func text() -> String {
        text(of: ["\0", "\u{1}", "\u{2}", "a", "b", "é", "𝄞"], countBelow: 12)
    }

    mutating func name() -> String {
        text(of: ["\u{1}", "\u{2}", "a", "b", "é"], countBelow: 10)
    }

    private mutating func text(of characters: [String], countBelow bound: Int) -> String {
        var text = ""
        for _ in 0..<below(bound) { text += characters[below(characters.count)] }
        return text
    }

    mutating func document(depth: Int) -> Document {
        var document = Document()
        for _ in 0..<below(4) { document.append(name(), value(depth: depth + 1)) }
        return document
    }

    mutating func value(depth: Int = 0) -> Value {
        switch below(depth > 3 ? 18 : 23) {
        case 0: return .double(double())
        case 1: return .string(text())
        case 2: return .binary(subtype: UInt8(below(3)), (0..<below(4)).map { _ in UInt8(below(3)) })
        case 3: return .undefined
        case 4: return .objectID(ObjectID(high: next() >> UInt64(below(64)), low: UInt32(below(3))))
        case 5: return .bool(oneIn(2))
        case 6: return .dateTime(integer())
        case 7: return .null
        case 8: return .regex(pattern: name(), options: name())
        case 9: return .dbPointer(namespace: text(), ObjectID(high: 0, low: UInt32(below(3))))
        case 10: return .javascript(text())
        case 11: return .symbol(text())
        case 12: return .int32(Int32(truncatingIfNeeded: integer()))
        case 13: return .timestamp(Timestamp(rawValue: UInt64(bitPattern: integer())))
        case 14: return .int64(integer())
        case 15: return .decimal128(decimal())
        case 16: return .maxKey
        case 17: return .minKey
        case 18: return .javascriptWithScope(text(), document(depth: depth))
        case 19, 20: return .document(document(depth: depth))
        default: return .array((0..<below(4)).map { _ in value(depth: depth + 1) })
        }
    }

    mutating func number() -> Value {
        switch below(4) {
        case 0: return .double(double())
        case 1: return .int32(Int32(truncatingIfNeeded: integer()))
        case 2: return .int64(integer())
        default: return .decimal128(decimal())
        }
    }
}

extension Value {
    /// Calls `body` with this value in place.
    func withView<R>(_ body: (ValueView) throws -> R) rethrows -> R {
        try (["v": self] as Document).withView { try body($0["v"]!) }
    }

    func compared(to other: Value) -> Int {
        withView { a in other.withView { b in ValueView.compare(a, b).signum() } }
    }

    func key(descending: Bool = false) -> [UInt8] {
        let buffer = ByteBuffer()
        withView { IndexKey.append($0, descending: descending, to: buffer) }
        return buffer.toArray()
    }
}

/// The sign of `memcmp`, a prefix first.
func compareBytes(_ a: [UInt8], _ b: [UInt8]) -> Int {
    for (left, right) in zip(a, b) where left != right { return left < right ? -1 : 1 }
    return (a.count - b.count).signum()
}
