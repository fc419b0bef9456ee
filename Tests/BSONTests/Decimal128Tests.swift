import BSON
import Core
import Testing

@Suite("Decimal128")
struct Decimal128Tests {
    @Test("arithmetic is exact and rounded once, by the word of Python's decimal")
    func arithmetic() throws {
        var random = SplitMix64(seed: 31)
        let operations = ["+", "-", "*", "/", "%", "r", "f", "c"]
        var cases: [(operation: String, a: Decimal128, b: Decimal128, places: Int)] = []
        for _ in 0..<20_000 {
            let a = random.decimal()
            var b = random.decimal()
            if random.oneIn(3) { b = near(a, &random) }
            cases.append((operations[random.below(operations.count)], a, b, random.below(60) - 30))
        }
        let script = """
            import sys
            from decimal import *
            setcontext(Context(prec=34, Emin=-6143, Emax=6144, clamp=1, rounding=ROUND_HALF_EVEN, traps=[]))
            wide = Context(prec=20000, Emin=-99999, Emax=99999, traps=[])
            def quantize(a, places, rounding):
                if not a.is_finite() or a.as_tuple().exponent >= -places: return a
                return a.quantize(Decimal((0, (1,), -places)), rounding=rounding)
            def order(a, b):
                if a.is_nan() or b.is_nan(): return (not a.is_nan()) - (not b.is_nan())
                return (a > b) - (a < b)
            def remainder(a, b):
                if not a.is_finite() or not b.is_finite(): return a % b
                return wide.remainder(a, b) if b != 0 else Decimal('NaN')
            for line in sys.stdin:
                op, a, b, places = line.split()
                a, b, places = Decimal(a), Decimal(b), int(places)
                print({'+': lambda: a + b, '-': lambda: a - b, '*': lambda: a * b, '/': lambda: a / b,
                       '%': lambda: remainder(a, b), 'r': lambda: quantize(a, places, ROUND_HALF_EVEN),
                       'f': lambda: quantize(a, places, ROUND_FLOOR), 'c': lambda: order(a, b)}[op]())
            """
        let lines = cases.map { "\($0.operation) \($0.a) \($0.b) \($0.places)" }
        guard let expected = try PythonOracle.run(script, lines) else { return }
        #expect(expected.count == cases.count)
        for (line, (one, result)) in zip(lines, zip(cases, expected)) {
            let computed =
                switch one.operation {
                case "+": (one.a + one.b).description
                case "-": (one.a - one.b).description
                case "*": (one.a * one.b).description
                case "/": (one.a / one.b).description
                case "%": one.a.remainder(truncatingBy: one.b).description
                case "r": one.a.rounded(places: one.places).description
                case "f": one.a.rounded(places: one.places, .down).description
                default: String(Decimal128.compare(one.a, one.b))
                }
            #expect(computed == result, "\(line)")
        }
    }

    /// A value whose digits overlap those of `a`, so that sums carry, cancel and round.
    private func near(_ a: Decimal128, _ random: inout SplitMix64) -> Decimal128 {
        guard a.isFinite else { return a }
        let parts = a.description.split(separator: "E")
        let exponent = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + random.below(90) - 45
        let digits =
            random.oneIn(3) ? "5" : random.oneIn(2) ? "9999999999999999999999999999999999" : String(random.next())
        return Decimal128("\(random.oneIn(2) ? "-" : "")\(digits)E\(exponent)", isRounding: true) ?? .zero
    }

    @Test("text with more digits than fit rounds half to even when asked to, and is refused otherwise")
    func roundingText() {
        let half = "1.0000000000000000000000000000000005"
        #expect(Decimal128(half) == nil)
        #expect(Decimal128(half, isRounding: true) == Decimal128("1.000000000000000000000000000000000"))
        #expect(
            Decimal128(half + "0000000000001", isRounding: true) == Decimal128("1.000000000000000000000000000000001"))
        #expect(Decimal128("9.9999999999999999999999999999999999E6144", isRounding: true) == .infinity())
        #expect(Decimal128("1E99999999999999999999", isRounding: true) == .infinity())
        #expect(Decimal128("1E-99999999999999999999", isRounding: true)?.isZero == true)
        #expect(Decimal128(String(repeating: "0", count: 500) + "1")?.exactInt64 == 1)
    }

    @Test(
        "a zero has the nearest exponent that there is",
        arguments: [
            ("0E-8000", "0E-6176"), ("-0E-2147483647", "-0E-6176"), ("0E+9000", "0E+6111"), ("0.00E-6176", "0E-6176"),
        ])
    func zeroExponents(text: String, shown: String) { #expect(Decimal128(text)?.description == shown) }

    @Test("text and value convert back and forth")
    func textRoundTrip() {
        var random = SplitMix64(seed: 32)
        for _ in 0..<5000 {
            let value = random.decimal()
            #expect(Decimal128(value.description) == value)
        }
    }

    @Test("conversion to double is correctly rounded")
    func doubleValue() {
        var random = SplitMix64(seed: 33)
        for _ in 0..<20_000 {
            let value = random.decimal()
            let expected = Double(value.description.replacing("Infinity", with: "inf"))
            #expect(value.isNaN ? value.doubleValue.isNaN : value.doubleValue == expected, "\(value)")
        }
        // Half of the smallest double is 2.4703282292062327208828439643411068618…E-324.
        #expect(Decimal128("2.470328229206232720882843964341106E-324")?.doubleValue == 0)
        #expect(Decimal128("2.470328229206232720882843964341107E-324")?.doubleValue == .leastNonzeroMagnitude)
    }

    @Test("a double becomes a decimal of fifteen digits, an integer an exact one")
    func fromNumbers() {
        #expect(Decimal128(5.5).description == "5.50000000000000")
        #expect(Decimal128(0.1).description == "0.100000000000000")
        #expect(Decimal128(-1e300).description == "-1.00000000000000E+300")
        #expect(Decimal128(0.1, digits: 34).description == "0.1000000000000000055511151231257827")
        #expect(Decimal128(Double.nan).isNaN)
        #expect(Decimal128(-Double.infinity) == .infinity(isNegative: true))
        #expect(Decimal128(Int64.min).description == "-9223372036854775808")
        var random = SplitMix64(seed: 34)
        for _ in 0..<1000 {
            let integer = random.integer()
            #expect(Decimal128(integer).exactInt64 == integer)
        }
    }

    @Test("only integers in range are integers exactly")
    func exactInt64() {
        #expect(Decimal128("1.0")?.exactInt64 == 1)
        #expect(Decimal128("1E+18")?.exactInt64 == 1_000_000_000_000_000_000)
        #expect(Decimal128("-9223372036854775808")?.exactInt64 == .min)
        #expect(Decimal128("9223372036854775808")?.exactInt64 == nil)
        #expect(Decimal128("1.5")?.exactInt64 == nil)
        #expect(Decimal128("1E+6000")?.exactInt64 == nil)
        #expect(Decimal128("-0E+6000")?.exactInt64 == 0)
        #expect(Decimal128.nan.exactInt64 == nil)
        #expect(Decimal128.infinity().exactInt64 == nil)
    }

    @Test("coefficients beyond 34 digits count as zero")
    func notCanonical() {
        #expect(Decimal128(high: 0x6C10_0000_0000_0000, low: 1).isZero)
        #expect(Decimal128(high: 0x3041_FFFF_FFFF_FFFF, low: .max).isZero)
        #expect(Value.decimal128(Decimal128(high: 0x6C10_0000_0000_0000, low: 1)).compared(to: 0) == 0)
    }
}
