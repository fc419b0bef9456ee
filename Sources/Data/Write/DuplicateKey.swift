import BSON
import Core
import Query

extension DataStore {
    /// `DuplicateKey` (11000) with `keyPattern` and `keyValue`, worded as MongoDB's. `key` is the index key that
    /// another document has: of a document with several, the message names that one.
    @inline(never)
    func duplicateKey(
        _ document: DocumentView, _ collection: Collection, _ index: CollectionIndex, _ key: UnsafeRawBufferPointer
    ) -> ServerError {
        guard key.count <= Limits.shownKeyBytesMax else {
            return ServerError(
                .duplicateKey,
                "E11000 duplicate key error collection: \(collection.namespace) index: \(index.name) dup key: "
                    + "a key of \(key.count) bytes, too long to be shown",
                details: ["keyPattern": .document(index.keyPattern), "keyValue": [:]])
        }
        // The keys of a document that has been indexed can be made again.
        let values = (try? index.generator.keyValue(of: document, key: key)) ?? Document()
        return ServerError(
            .duplicateKey,
            "E11000 duplicate key error collection: \(collection.namespace) index: \(index.name) dup key: "
                + MessageText.document(values),
            details: ["keyPattern": .document(index.keyPattern), "keyValue": .document(values)])
    }
}

/// Values as MongoDB's messages write them.
enum MessageText {
    static func document(_ document: Document) -> String {
        if document.isEmpty { return "{}" }
        return "{ " + document.fields.map { "\($0.key): \(text($0.value))" }.joined(separator: ", ") + " }"
    }

    static func text(_ value: Value) -> String {
        switch value {
        case .string(let text), .symbol(let text): "\"\(text)\""
        case .objectID(let id): "ObjectId('\(id)')"
        case .int32(let number): "\(number)"
        case .int64(let number): "\(number)"
        case .double(let number): "\(number)"
        case .decimal128(let number): "\(number)"
        case .bool(let bool): "\(bool)"
        case .null: "null"
        case .undefined: "undefined"
        case .dateTime(let millis): "new Date(\(millis))"
        case .timestamp(let timestamp): "Timestamp(\(timestamp.seconds), \(timestamp.increment))"
        case .document(let document): MessageText.document(document)
        case .array(let array):
            array.isEmpty ? "[]" : "[ " + array.values.map { text($0) }.joined(separator: ", ") + " ]"
        case .binary(let subtype, let bytes): binary(subtype, bytes)
        case .minKey: "MinKey"
        case .maxKey: "MaxKey"
        case .regex(let pattern, let options): "/\(pattern)/\(options)"
        case .javascript(let code): code
        case .javascriptWithScope(let code, let scope): "CodeWScope( \(code), \(document(scope)))"
        case .dbPointer(let namespace, let id): "DBRef('\(namespace)',\(id))"
        }
    }

    private static func binary(_ subtype: UInt8, _ bytes: [UInt8]) -> String {
        guard subtype == 4, bytes.count == 16 else { return "BinData(\(subtype), \(hex(bytes[...], upper: true)))" }
        let parts = [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { hex(bytes[$0], upper: false) }
        return "UUID(\"\(parts.joined(separator: "-"))\")"
    }

    private static func hex(_ bytes: ArraySlice<UInt8>, upper: Bool) -> String {
        let digits = Array((upper ? "0123456789ABCDEF" : "0123456789abcdef").utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
