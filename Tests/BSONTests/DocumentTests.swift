import BSON
import Core
import Testing

@Suite("Documents, views and writers")
struct DocumentTests {
    @Test("values survive being written and read")
    func roundTrip() {
        var random = SplitMix64(seed: 21)
        for _ in 0..<5000 {
            let fields = (0..<random.below(6)).map { _ in (random.name(), random.value()) }
            let document = Document { writer in for (name, value) in fields { writer.append(name, value) } }
            let again = Document { writer in for (name, value) in document.fields { writer.append(name, value) } }
            #expect(document.keys == fields.map(\.0))
            #expect(again == document)
            let copied = Document { writer in
                document.withView { view in for field in view { writer.append(field.key, field.value) } }
            }
            #expect(copied == document)
        }
    }

    @Test("a field is found by its whole name, the first of several")
    func find() {
        let document = Document { writer in
            writer.append("a", 1)
            writer.append("ab", 2)
            writer.append("", 3)
            writer.append("a", 4)
            writer.append("a_name_longer_than_a_word", 5)
        }
        document.withView { view in
            #expect(view["a"]?.asInt32 == 1)
            #expect(view["ab"]?.asInt32 == 2)
            #expect(view[""]?.asInt32 == 3)
            #expect(view["a_name_longer_than_a_word"]?.asInt32 == 5)
            #expect(view["a_name_longer_than_a_wore"] == nil)
            #expect(view["b"] == nil)
            #expect(view["a" as String]?.asInt32 == 1)
            #expect(view["" as String]?.asInt32 == 3)
            #expect(view["x" as String] == nil)
            #expect(view.fieldCount == 5)
        }
        #expect(Document()["a"] == nil)
    }

    @Test("setting a field replaces it in place, appends it, or removes it")
    func subscriptSet() {
        var document: Document = ["a": 1, "b": 2]
        document["a"] = "x"
        document["c"] = 3
        document["b"] = nil
        #expect(document == ["a": "x", "c": 3])
    }

    @Test("array elements are numbered from zero, across digit boundaries")
    func arrayNumbers() {
        let document = Document { writer in
            writer.array("v") { array in for index in 0..<1203 { array.append(.int32(Int32(index))) } }
            writer.array("w") { array in for _ in 0..<112 { array.document { $0.append("x", int32: 1) } } }
            writer.array("s") { array in for _ in 0..<11 { array.append(string: "é") } }
        }
        document.withView { view in
            for (name, count) in [("v", 1203), ("w", 112), ("s", 11)] {
                let keys = view[name]!.asArray!.map { $0.key.string }
                #expect(keys == (0..<count).map(String.init))
            }
        }
        #expect((try? Document(validating: document.bytes)) != nil)
    }

    @Test("every kind of value appended under a static name reads back")
    func staticNames() throws {
        let id = ObjectID(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C)
        let inner: Document = ["x": 1]
        let document = Document { writer in
            writer.append("int32", int32: -5)
            writer.append("int64", int64: .min)
            writer.append("double", double: 1.5)
            writer.append("bool", bool: true)
            writer.append("timestamp", timestamp: Timestamp(seconds: 7, increment: 8))
            writer.append("dateTime", dateTime: -1)
            writer.append("objectID", objectID: id)
            writer.appendNull("null")
            writer.append("string", string: "static" as StaticString)
            writer.append("built", string: String(repeating: "é", count: 40))
            [UInt8]([1, 2]).withUnsafeBytes { writer.append("binary", binary: $0, subtype: 5) }
            writer.append("document", inner)
            writer.document("nested") { $0.append("y", bool: false) }
        }
        let checked = try Document(validating: document.bytes)
        #expect(checked["int32"] == .int32(-5))
        #expect(checked["int64"] == .int64(.min))
        #expect(checked["double"] == .double(1.5))
        #expect(checked["bool"] == .bool(true))
        #expect(checked["timestamp"] == .timestamp(Timestamp(seconds: 7, increment: 8)))
        #expect(checked["dateTime"] == .dateTime(-1))
        #expect(checked["objectID"] == .objectID(id))
        #expect(checked["null"] == .null)
        #expect(checked["string"] == .string("static"))
        #expect(checked["built"] == .string(String(repeating: "é", count: 40)))
        #expect(checked["binary"] == .binary(subtype: 5, [1, 2]))
        #expect(checked["document"] == .document(inner))
        #expect(checked["nested"] == .document(["y": false]))
    }

    @Test("a byte buffer keeps its bytes while it grows and gives up what is removed from the front")
    func byteBuffer() {
        let buffer = ByteBuffer(capacity: 1)
        var expected: [UInt8] = []
        var random = SplitMix64(seed: 22)
        for step in 0..<2000 {
            let chunk = (0..<random.below(50)).map { _ in UInt8(random.below(256)) }
            buffer.append(chunk)
            expected += chunk
            if step % 100 == 99 {
                let length = random.below(expected.count)
                buffer.removeFirst(length)
                expected.removeFirst(length)
            }
            #expect(buffer.count == expected.count)
        }
        #expect(buffer.toArray() == expected)
    }
}
