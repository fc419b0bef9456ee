import BSON
import Core
import Testing

@Suite("Extended JSON")
struct ExtendedJSONTests {
    @Test("canonical text keeps every value")
    func canonicalRoundTrip() throws {
        var random = SplitMix64(seed: 41)
        for _ in 0..<3000 {
            let fields = (0..<random.below(5)).map { _ in (random.name(), random.value()) }
            let document = Document { writer in for (name, value) in fields { writer.append(name, value) } }
            let text = document.extendedJSON(.canonical)
            #expect(try Document(extendedJSON: text).extendedJSON(.canonical) == text)
        }
    }

    @Test("both forms are written as the specification says")
    func forms() throws {
        let document: Document = ["a": 1, "b": 1.5, "c": .dateTime(1_356_351_330_501), "d": ["x", nil, true]]
        #expect(
            document.extendedJSON(.relaxed)
                == #"{"a": 1, "b": 1.5, "c": {"$date": "2012-12-24T12:15:30.501Z"}, "d": ["x", null, true]}"#)
        #expect(
            document.extendedJSON(.canonical)
                == #"{"a": {"$numberInt": "1"}, "b": {"$numberDouble": "1.5"}, "#
                + #""c": {"$date": {"$numberLong": "1356351330501"}}, "d": ["x", null, true]}"#)
        #expect(document.description == document.extendedJSON(.relaxed))
        #expect(Value.int64(1 << 40).extendedJSON() == "1099511627776")
    }

    @Test("query operators stay documents")
    func operators() throws {
        for text in [
            #"{"a": {"$regex": "^x", "$options": "i"}}"#, #"{"a": {"$type": 2}}"#, #"{"$ref": "c", "$id": 1}"#,
        ] {
            #expect(try Document(extendedJSON: text).extendedJSON() == text)
        }
    }

    @Test("numbers take the smallest type that holds them")
    func numbers() throws {
        #expect(
            try Value(extendedJSON: "[1, -2147483649, 1.0, 1e3, 9223372036854775808, -0.0]") == [
                .int32(1), .int64(-2_147_483_649), .double(1), .double(1000), .double(0x1p63), .double(-0.0),
            ])
    }

    @Test(
        "text that is not JSON is refused",
        arguments: [
            "", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "1e", "tru", "\"a", "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"", "\"\u{1}\"", "{} x", "[1 2]", "nul", "-", "{\"a\" 1}", "\"\\u12g4\"",
            String(repeating: "[", count: 100_000),
        ])
    func malformed(text: String) {
        #expect(throws: InvalidExtendedJSON.self) { try Value(extendedJSON: text) }
    }

    @Test("escapes of every kind are read, and written where JSON asks for them")
    func escapes() throws {
        let escaped = try Value(extendedJSON: #""\"\\\/\b\f\n\r\t\u00e9\ud834\udd1e""#)
        #expect(escaped == .string("\"\\/\u{8}\u{C}\n\r\té𝄞"))
        #expect(Value.string("\"\\\n\u{1}é").extendedJSON() == #""\"\\\n\u0001é""#)
    }

    @Test("dates convert between text and milliseconds, over four centuries and back")
    func dates() {
        var random = SplitMix64(seed: 42)
        for _ in 0..<5000 {
            let milliseconds = Int64(random.next() % 315_569_520_000_000) - 62_167_219_200_000
            guard let text = DateText.format(milliseconds) else { continue }
            #expect(DateText.parse(text) == milliseconds)
        }
        #expect(DateText.format(951_782_400_000) == "2000-02-29T00:00:00Z")
        #expect(DateText.format(-1) == "1969-12-31T23:59:59.999Z")
        #expect(DateText.format(.max) == nil)
        #expect(DateText.format(.min) == nil)
        #expect(DateText.parse("2012-12-24T13:15:30.5+01:00") == 1_356_351_330_500)
        #expect(DateText.parse("2012-12-24T12:15:30.5019Z") == 1_356_351_330_501)
        for text in [
            "2013-02-29T00:00:00Z", "2012-13-01T00:00:00Z", "2012-01-01T24:00:00Z", "2012-01-01", "2012-01-01T00:00:00",
        ] {
            #expect(DateText.parse(text) == nil)
        }
    }
}
