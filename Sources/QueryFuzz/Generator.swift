import BSON
import Core

/// Draws values, documents, expressions, filters, updates and stages: small ones that meet, and ones at every boundary.
struct Generator {
    var random: SplitMix64
    let vocabulary: Vocabulary

    init(seed: UInt64, _ vocabulary: Vocabulary) {
        random = SplitMix64(seed: seed)
        self.vocabulary = vocabulary
    }

    mutating func one<T>(_ list: [T]) -> T { list[random.below(list.count)] }

    // MARK: Values

    private static let integers: [Int64] = [
        .min, .min + 1, -9_223_372_036_854_775_000, -9_007_199_254_740_993, Int64(Int32.min) - 1, Int64(Int32.min),
        -86_400_001, -1000, -128, -1, 0, 1, 2, 7, 63, 64, 100, 127, 255, 1000, 86_400_000, Int64(Int32.max),
        Int64(Int32.max) + 1, Int64(UInt32.max), 253_402_300_800_000, 9_007_199_254_740_993, .max - 1, .max,
    ]
    private static let doubles: [Double] = [
        0, -0.0, 1, -1, 0.5, -2.5, 0.1, 1e15, 1e16, -1e19, 9.3e18, -9.3e18, 9_223_372_036_854_775_808, 2_147_483_648,
        -2_147_483_649, 1e100, .infinity, -.infinity, .nan, .signalingNaN, .leastNonzeroMagnitude,
        .leastNormalMagnitude,
        .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .ulpOfOne,
    ]
    private static let decimals = [
        "0", "-0", "0E-6176", "0E+6111", "1E-6176", "-1E-6176", "9.999999999999999999999999999999999E+6144",
        "-9.999999999999999999999999999999999E+6144", "NaN", "Infinity", "-Infinity", "0.1", "2.5", "-1", "1E+6111",
        "9223372036854775808", "-9223372036854775809", "2147483648", "1E+33", "1.5E+3",
    ]
    private static let texts = [
        "", "a", "b", "ab", "a.b", ".", "a.", "$", "$a", "$$a", "é", "𝄞", "e\u{301}", "\0", "a\0b", "0", "-1", "00",
        "9223372036854775808", "1e400", "NaN", "2018-03-20T11:00:06Z", "2018-03-20 11:00:06 +0500", "9999-12-31",
        "-0001-01-01", "%Y-%m-%d", "%", "%%", "%Q", "UTC", "+24:60", "-99:99", "Europe/Paris", "GMT", "day", "week",
        "month", "quarter", "year", "millisecond", "int", "long", "decimal", "date", "objectId", "monday",
        "5ab9cbfa31c2ab715d42129e", "(a)|(b)", "(a)?(b)?", "^", "$|x*", "\\G", "(?<n>a)(?=b)\\K", "[", "(a+)+$",
        "\u{FFFF}",
        " \t\u{2003}", "{\"a\":1}",
    ]

    mutating func text() -> String {
        switch random.below(12) {
        case 0: return String(repeating: one(Generator.texts), count: random.below(40))
        case 1: return String(repeating: one(["a", "é", "ab", "𝄞"]), count: random.below(3000))
        case 2: return one(vocabulary.words)
        case 3: return one(Generator.texts) + one(Generator.texts)
        default: return one(Generator.texts)
        }
    }

    mutating func integer() -> Int64 {
        switch random.below(4) {
        case 0: Int64(bitPattern: random.next()) >> Int64(random.below(64))
        case 1: one(Generator.integers) &+ Int64(random.below(5)) &- 2
        case 2: Int64(random.below(12)) - 4
        default: one(Generator.integers)
        }
    }

    mutating func decimal() -> Decimal128 {
        if random.oneIn(3) { return Decimal128(high: random.next(), low: random.next()) }
        return Decimal128(one(Generator.decimals), isRounding: true) ?? .nan
    }

    mutating func number() -> Value {
        switch random.below(4) {
        case 0: .double(random.oneIn(3) ? Double(bitPattern: random.next()) : one(Generator.doubles))
        case 1: .int32(Int32(truncatingIfNeeded: integer()))
        case 2: .int64(integer())
        default: .decimal128(decimal())
        }
    }

    private mutating func objectID() -> ObjectID {
        ObjectID(high: random.next(), low: UInt32(truncatingIfNeeded: random.next()))
    }

    mutating func value(depth: Int = 0) -> Value {
        switch random.below(depth > 3 ? 22 : 28) {
        case 0...4: return number()
        case 5...7: return .string(text())
        case 8:
            let subtype = UInt8(truncatingIfNeeded: random.oneIn(2) ? random.below(9) : 0x80)
            let bytes = (0..<one([0, 1, 4, 16, 17])).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            return .binary(subtype: subtype, bytes)
        case 9: return .undefined
        case 10: return .objectID(objectID())
        case 11: return .bool(random.oneIn(2))
        case 12...13: return .dateTime(integer())
        case 14: return .null
        case 15: return .regex(pattern: pattern(), options: one(["", "i", "imsx", "x", "z"]))
        case 16: return .dbPointer(namespace: text(), objectID())
        case 17: return random.oneIn(2) ? .javascript(text()) : .symbol(text())
        case 18: return .timestamp(Timestamp(rawValue: random.oneIn(2) ? random.next() : one([0, .max, 1, 1 << 32])))
        case 19: return .maxKey
        case 20: return .minKey
        case 21: return .javascriptWithScope(text(), depth > 3 ? Document() : document(depth: depth + 1))
        case 22...24: return .document(document(depth: depth + 1))
        default: return .array(array(depth: depth + 1))
        }
    }

    private mutating func pattern() -> String { text().replacing("\0", with: "") }

    mutating func array(depth: Int = 0) -> [Value] {
        if random.oneIn(12) {
            let element = number()
            return (0..<random.below(700)).map { $0 % 3 == 0 ? element : .int32(Int32(truncatingIfNeeded: $0)) }
        }
        if random.oneIn(3) { return (0..<random.below(6)).map { _ in number() } }
        return (0..<random.below(5)).map { _ in value(depth: depth) }
    }

    mutating func fieldName() -> String {
        random.oneIn(9) ? text().replacing("\0", with: "") : one(["_id", "a", "b", "c", "a", "0", "k", "v"])
    }

    mutating func document(depth: Int = 0) -> Document {
        if random.oneIn(60) {
            // As deep as a document may be.
            return (0..<(90 - depth)).reduce(Document()) { inner, _ in
                ["a": random.oneIn(4) ? .array([.document(inner)]) : .document(inner)]
            }.limited(to: 98 - depth)
        }
        var document = Document()
        for _ in 0..<random.below(5) { document.append(fieldName(), value(depth: depth)) }
        return document
    }

    mutating func path() -> String {
        (0..<(1 + random.below(3))).map { _ in one(["a", "b", "c", "0", "1", "_id", "k"]) }.joined(separator: ".")
    }

    // MARK: Expressions

    mutating func expression(depth: Int = 0) -> Value {
        if depth > 4 || random.oneIn(4) { return leaf() }
        return operation(one(vocabulary.expressions), depth: depth)
    }

    private mutating func leaf() -> Value {
        switch random.below(8) {
        case 0...2: .string("$" + path())
        case 3: .string(one(["$$this", "$$value", "$$ROOT", "$$NOW", "$$REMOVE", "$$x", "$$x.a", "$$CURRENT.a"]))
        case 4: ["$literal": value()]
        case 5: .array(array().map { random.oneIn(3) ? .string("$" + path()) : $0 })
        default: value(depth: 2)
        }
    }

    /// An operator with operands by position, by the names that it was seen to ask for, or in no form at all.
    mutating func operation(_ name: String, depth: Int) -> Value {
        let names = vocabulary.arguments[name] ?? []
        if !names.isEmpty, !random.oneIn(8) {
            var document = Document()
            for argument in names where !random.oneIn(8) {
                document.append(argument, argumentValue(argument, depth: depth))
            }
            return [name: .document(document)]
        }
        switch random.below(6) {
        case 0: return [name: value(depth: 2)]
        case 1: return [name: expression(depth: depth + 1)]
        default:
            return [name: .array((0..<one([0, 1, 1, 2, 2, 2, 3, 3, 4])).map { _ in expression(depth: depth + 1) })]
        }
    }

    private mutating func argumentValue(_ name: String, depth: Int) -> Value {
        switch random.below(8) {
        case 0: return value(depth: 2)
        case 1: return .string(text())
        case 2: return number()
        case 3: return .array((0..<random.below(4)).map { _ in expression(depth: depth + 1) })
        case 4: return ["x": expression(depth: depth + 1)]
        case 5: return .bool(random.oneIn(2))
        default: break
        }
        switch name {
        case "as": return .string(one(["this", "x"]))
        case "vars": return ["x": expression(depth: depth + 1)]
        case "sortBy": return random.oneIn(2) ? .int32(one([1, -1])) : [path(): .int32(one([1, -1]))]
        case "branches": return [["case": expression(depth: depth + 1), "then": expression(depth: depth + 1)]]
        case "inputs", "defaults": return .array((0..<random.below(4)).map { _ in expression(depth: depth + 1) })
        default: return expression(depth: depth + 1)
        }
    }
}

extension Document {
    /// The same document, or an empty one when it nests deeper than documents may.
    fileprivate func limited(to levels: Int) -> Document {
        let fits = bytes.withUnsafeBytes { (try? DocumentView.validate($0, depth: levels)) != nil }
        return fits ? self : Document()
    }
}
