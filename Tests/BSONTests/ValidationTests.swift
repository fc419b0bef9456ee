import BSON
import Core
import Testing

@Suite("Validation")
struct ValidationTests {
    private func isValid(_ bytes: [UInt8]) -> Bool { (try? Document(validating: bytes)) != nil }

    /// A document with one value in `levels` nested documents.
    private func nested(_ levels: Int) -> Document {
        var document: Document = ["x": 1]
        for _ in 0..<levels { document = Document { $0.append("d", document) } }
        return document
    }

    @Test("what the writer writes is valid")
    func writerOutput() {
        var random = SplitMix64(seed: 11)
        for _ in 0..<3000 { #expect(isValid(random.document(depth: 0).bytes)) }
    }

    @Test("nesting is accepted up to the limit and no deeper")
    func nesting() {
        #expect(isValid(nested(DocumentView.depthMax).bytes))
        #expect(!isValid(nested(DocumentView.depthMax + 1).bytes))
        #expect(!isValid(nested(5000).bytes))
    }

    @Test("a document cut short anywhere is refused")
    func truncation() {
        var random = SplitMix64(seed: 12)
        for _ in 0..<300 {
            let bytes = random.document(depth: 0).bytes
            for length in 0..<bytes.count { #expect(!isValid(Array(bytes.prefix(length)))) }
        }
    }

    @Test("random changes are either refused or leave a document that reads, compares and encodes within its bytes")
    func mutations() {
        var random = SplitMix64(seed: 13)
        var accepted = 0
        for _ in 0..<30_000 {
            var bytes = random.document(depth: 0).bytes
            for _ in 0...random.below(3) {
                let interesting: [UInt8] = [0, 1, 4, 5, 0x7F, 0x80, 0xC0, 0xFF]
                bytes[random.below(bytes.count)] =
                    random.oneIn(2) ? interesting[random.below(8)] : UInt8(random.below(256))
            }
            guard let document = try? Document(validating: bytes) else { continue }
            accepted += 1
            let copy = Document { writer in for (name, value) in document.fields { writer.append(name, value) } }
            // Not equal bytes always: an embedded document keeps its bytes, a boolean or length cannot differ.
            #expect(copy.bytes == document.bytes)
            #expect(Value.document(document).compared(to: .document(copy)) == 0)
            #expect(Value.document(document).key() == Value.document(copy).key())
        }
        #expect(accepted > 1000)
    }

    @Test(
        "text is accepted exactly when it is UTF-8",
        arguments: [
            ([0x41], true), ([0xC3, 0xA9], true), ([0xE2, 0x98, 0x86], true), ([0xF0, 0x9D, 0x84, 0x9E], true),
            ([0xF4, 0x8F, 0xBF, 0xBF], true), ([0xED, 0x9F, 0xBF], true), ([0x80], false), ([0xC0, 0x80], false),
            ([0xC1, 0xBF], false), ([0xC3], false), ([0xE0, 0x9F, 0xBF], false), ([0xED, 0xA0, 0x80], false),
            ([0xE2, 0x98], false), ([0xF0, 0x8F, 0xBF, 0xBF], false), ([0xF4, 0x90, 0x80, 0x80], false),
            ([0xF5, 0x80, 0x80, 0x80], false),
            ([0xFF], false),
        ] as [([UInt8], Bool)])
    func utf8(sequence: [UInt8], isText: Bool) {
        for padding in 0..<40 {
            let text =
                [UInt8](repeating: 0x61, count: padding) + sequence + [UInt8](repeating: 0x62, count: padding % 9)
            let length = text.count + 1
            let value = [UInt8(length & 255), UInt8(length >> 8), 0, 0] + text + [0]
            let asValue = [0x02, 0x61, 0] + value
            let asName = [0x0A] + text + [0]
            for element in [asValue, asName] {
                let size = element.count + 5
                #expect(isValid([UInt8(size & 255), UInt8(size >> 8), 0, 0] + element + [0]) == isText)
            }
        }
    }

    @Test("random text agrees with Swift's own UTF-8 decoder")
    func utf8AgainstSwift() {
        var random = SplitMix64(seed: 14)
        for _ in 0..<20_000 {
            let bytes = (0..<random.below(40)).map { _ -> UInt8 in
                random.oneIn(3)
                    ? UInt8(random.below(256))
                    : random.oneIn(2) ? [0xE2, 0x98, 0x86, 0xC3, 0xA9, 0xF0, 0x9D][random.below(7)] : 0x61
            }
            let expected = String(validating: bytes, as: UTF8.self) != nil
            let size = bytes.count + 13
            let document = [UInt8(size), 0, 0, 0, 2, 0x61, 0, UInt8(bytes.count + 1), 0, 0, 0] + bytes + [0, 0]
            #expect(isValid(document) == expected)
        }
    }

    @Test("the refusal names the rule and the byte")
    func problems() {
        let bytes: [UInt8] = [9, 0, 0, 0, 0x08, 0x62, 0, 2, 0]
        #expect(throws: InvalidBSON.self) { try Document(validating: bytes) }
        do {
            _ = try Document(validating: bytes)
        } catch {
            #expect(error.offset == 7)
            #expect(error.reason == "a boolean that is neither 0 nor 1")
        }
        #expect(!isValid([5, 0, 0, 0, 0, 0]))
    }
}
