import BSON
import Foundation
import Testing

/// The BSON corpus of MongoDB's specifications, found by the environment's QUORATE_SPEC.
@Suite("BSON corpus")
struct CorpusTests {
    static let files: [String] = {
        guard let root = ProcessInfo.processInfo.environment["QUORATE_SPEC"] else {
            print("BSON corpus skipped: QUORATE_SPEC is not set")
            return []
        }
        let folder = root + "/bson-corpus"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".json") }.sorted().map { folder + "/" + $0 }
    }()

    private func load(_ file: String) throws -> NSDictionary {
        try #require(JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: file))) as? NSDictionary)
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
    }

    /// JSON without its spacing, numbers in doubles' own spelling.
    private func normalized(_ json: String) throws -> NSObject {
        func plain(_ node: Any) -> Any {
            if let object = node as? [String: Any] {
                if object.count == 1, let text = object["$numberDouble"] as? String, let double = Double(text) {
                    return ["$numberDouble": String(double)] as NSDictionary
                }
                return object.mapValues(plain) as NSDictionary
            }
            if let array = node as? [Any] { return array.map(plain) as NSArray }
            return node
        }
        return try #require(plain(JSONSerialization.jsonObject(with: Data(json.utf8))) as? NSObject)
    }

    private func expectSame(_ a: String, _ b: String, _ comment: String) throws {
        let (left, right) = (try normalized(a), try normalized(b))
        #expect(left.isEqual(right), "\(comment): \(a) is not \(b)")
    }

    @Test("valid cases convert between bytes and both JSON forms", arguments: files)
    func valid(file: String) throws {
        for entry in try load(file)["valid"] as? [NSDictionary] ?? [] {
            func text(_ name: String) -> String? { entry[name] as? String }
            let name = "\(file): \(text("description") ?? "")"
            let canonicalBytes = bytes(try #require(text("canonical_bson")))
            let canonicalJSON = try #require(text("canonical_extjson"))
            let isLossy = entry["lossy"] as? Bool ?? false
            let document = try Document(validating: canonicalBytes)
            let rebuilt = Document { writer in for (key, value) in document.fields { writer.append(key, value) } }
            #expect(rebuilt.bytes == canonicalBytes, "\(name)")
            try expectSame(document.extendedJSON(.canonical), canonicalJSON, name)
            if !isLossy {
                #expect(try Document(extendedJSON: canonicalJSON).bytes == canonicalBytes, "\(name)")
            }
            if let relaxed = text("relaxed_extjson") {
                try expectSame(document.extendedJSON(.relaxed), relaxed, name)
                try expectSame(try Document(extendedJSON: relaxed).extendedJSON(.relaxed), relaxed, name)
            }
            if let degenerate = text("degenerate_bson") {
                let read = try Document(validating: bytes(degenerate))
                try expectSame(read.extendedJSON(.canonical), canonicalJSON, name)
                #expect(try Document(extendedJSON: read.extendedJSON(.canonical)).bytes == canonicalBytes, "\(name)")
            }
            if let degenerate = text("degenerate_extjson"), !isLossy {
                #expect(try Document(extendedJSON: degenerate).bytes == canonicalBytes, "\(name)")
            }
        }
    }

    @Test("bytes that are not BSON are refused", arguments: files)
    func decodeErrors(file: String) throws {
        for entry in try load(file)["decodeErrors"] as? [NSDictionary] ?? [] {
            let hex = try #require(entry["bson"] as? String)
            #expect(throws: InvalidBSON.self, "\(entry["description"] ?? "")") { try Document(validating: bytes(hex)) }
        }
    }

    @Test("text that is not Extended JSON or not a decimal is refused", arguments: files)
    func parseErrors(file: String) throws {
        let corpus = try load(file)
        for entry in corpus["parseErrors"] as? [NSDictionary] ?? [] {
            let text = try #require(entry["string"] as? String)
            if corpus["bson_type"] as? String == "0x13" {
                #expect(Decimal128(text) == nil, "'\(text)'")
            } else {
                #expect(throws: InvalidExtendedJSON.self, "\(text)") { try Document(extendedJSON: text) }
            }
        }
    }
}
