import BSON
import Core
import Testing

@Suite("Comparison and index keys")
struct KeyOrderTests {
    @Test("types order as MongoDB orders them, with equal numbers equal across types")
    func typeOrder() throws {
        let ascending: [[Value]] = [
            [.minKey], [.undefined], [.null],
            [.double(.nan), .decimal128(.nan), .double(-.nan)],
            [.double(-.infinity), .decimal128(.infinity(isNegative: true))],
            [.decimal128(Decimal128("-1E400")!)], [.double(-.greatestFiniteMagnitude)],
            [.int64(.min), .double(-0x1p63)], [.int64(.min + 1)], [.int32(-1), .decimal128(Decimal128("-1.00")!)],
            [.decimal128(Decimal128("-1E-400")!)],
            [.int32(0), .int64(0), .double(0), .double(-0.0), .decimal128(Decimal128("-0E+5")!)],
            [.decimal128(Decimal128("1E-400")!)], [.double(.leastNonzeroMagnitude)],
            [.decimal128(Decimal128("0.1")!)], [.double(0.1)],
            [.double(0.5), .decimal128(Decimal128("0.50")!)],
            [.int64(1 << 53), .double(0x1p53)], [.int64(1 << 53 + 1), .decimal128(Decimal128("9007199254740993")!)],
            [.int64(.max)], [.double(0x1p63), .decimal128(Decimal128("9223372036854775808")!)],
            [.double(.greatestFiniteMagnitude)], [.decimal128(Decimal128("1E400")!)], [.double(.infinity)],
            [.string(""), .symbol("")], [.string("a")], [.string("a\0")], [.string("a\u{1}")], [.string("ab")],
            [.string("é")],
            [.document([:])], [.document(["a": 1]), .document(["a": 1.0])], [.document(["a": 1, "b": 1])],
            [.document(["b": 1])], [.document(["a": "x"])],
            [.array([])], [.array([1])], [.array([1, 2])], [.array(["a"])],
            [.binary(subtype: 5, [])], [.binary(subtype: 0, [9])], [.binary(subtype: 1, [8])],
            [.binary(subtype: 0, [0, 0])],
            [.objectID(ObjectID(high: 1, low: 0))], [.bool(false)], [.bool(true)],
            [.dateTime(-1)], [.dateTime(0)], [.timestamp(.zero)], [.timestamp(.max)],
            [.regex(pattern: "a", options: "i")], [.regex(pattern: "ab", options: "")],
            [.dbPointer(namespace: "a", ObjectID(high: 0, low: 0))], [.javascript("a")],
            [.javascriptWithScope("a", [:])], [.javascriptWithScope("a", ["x": 1])], [.maxKey],
        ]
        for (left, values) in ascending.enumerated() {
            for (right, others) in ascending.enumerated() {
                for a in values {
                    for b in others {
                        #expect(a.compared(to: b) == (left - right).signum(), "\(a) and \(b)")
                        #expect(compareBytes(a.key(), b.key()) == (left - right).signum(), "keys of \(a) and \(b)")
                    }
                }
            }
        }
    }

    @Test("keys order as values do, ascending and descending, and none is a prefix of another")
    func keysAgree() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<60_000 {
            let a = random.value()
            let b = random.oneIn(3) ? random.value() : random.number()
            let order = a.compared(to: b)
            let (keyA, keyB) = (a.key(), b.key())
            #expect(compareBytes(keyA, keyB) == order, "\(a) and \(b)")
            #expect(compareBytes(a.key(descending: true), b.key(descending: true)) == -order, "\(a) and \(b)")
            if order != 0 { #expect(!keyA.starts(with: keyB) && !keyB.starts(with: keyA), "\(a) and \(b)") }
        }
    }

    @Test("compound keys order field by field, whatever their directions")
    func compoundKeys() {
        var random = SplitMix64(seed: 2)
        for _ in 0..<20_000 {
            let directions = (random.oneIn(2), random.oneIn(2))
            let (a, b) = ((random.value(), random.value()), (random.value(), random.value()))
            let c = random.oneIn(2) ? (a.0, b.1) : b
            let first = a.0.compared(to: c.0) * (directions.0 ? -1 : 1)
            let second = a.1.compared(to: c.1) * (directions.1 ? -1 : 1)
            let keyA = a.0.key(descending: directions.0) + a.1.key(descending: directions.1)
            let keyC = c.0.key(descending: directions.0) + c.1.key(descending: directions.1)
            #expect(compareBytes(keyA, keyC) == (first != 0 ? first : second))
        }
    }

    @Test("comparison is antisymmetric and transitive")
    func totalOrder() {
        var random = SplitMix64(seed: 3)
        for _ in 0..<300 {
            let values = (0..<12).map { _ in random.value() }.sorted { $0.compared(to: $1) < 0 }
            for left in values.indices {
                for right in values.indices {
                    let order = values[left].compared(to: values[right])
                    #expect(order == -values[right].compared(to: values[left]))
                    if left < right { #expect(order <= 0) }
                }
            }
        }
    }

    @Test("numbers of all types order by their exact values, by the word of another implementation")
    func numbersAgainstFractions() throws {
        var random = SplitMix64(seed: 4)
        var pairs: [(Value, Value)] = []
        while pairs.count < 6000 {
            let a = random.number()
            var b = random.number()
            if case .decimal128(let decimal) = a, random.oneIn(2) { b = .double(decimal.doubleValue) }
            guard a.asNumber?.isNaN == false, b.asNumber?.isNaN == false else { continue }
            pairs.append((a, b))
        }
        func text(_ value: Value) -> String {
            switch value {
            case .double(let double): "d" + String(double.bitPattern)
            case .decimal128(let decimal): "n" + decimal.description
            default: "n" + String(value.asInteger ?? 0)
            }
        }
        let script = """
            import sys, struct
            from decimal import Decimal
            from fractions import Fraction
            def exact(text):
                if text[0] == 'd':
                    value = struct.unpack('<d', struct.pack('<Q', int(text[1:])))[0]
                else:
                    value = Decimal(text[1:])
                if value in (float('inf'), float('-inf')): return (1 if value > 0 else -1, 0)
                return (0, Fraction(value))
            for line in sys.stdin:
                a, b = map(exact, line.split())
                print((a > b) - (a < b))
            """
        guard let orders = try PythonOracle.run(script, pairs.map { "\(text($0.0)) \(text($0.1))" }) else { return }
        #expect(orders.count == pairs.count)
        for (pair, order) in zip(pairs, orders) {
            #expect(pair.0.compared(to: pair.1) == Int(order), "\(pair.0) and \(pair.1)")
        }
    }

    @Test("small integers have short keys")
    func shortKeys() {
        #expect(Value.int32(0).key().count == 1)
        #expect(Value.int64(100).key().count == 2)
        #expect(Value.int64(1_000_000).key().count <= 4)
        #expect(Value.int64(.max).key().count == 10)
    }

    @Test("documents nested beyond what validation accepts compare and encode without exhausting the stack")
    func deepNesting() {
        var deep: Document = [:]
        for _ in 0..<20_000 { deep = Document { $0.append("", deep) } }
        var other = deep
        other.append("b", 1)
        #expect(Value.document(deep).compared(to: .document(other)) == -1)
        #expect(compareBytes(Value.document(deep).key(), Value.document(other).key()) == -1)
    }
}
