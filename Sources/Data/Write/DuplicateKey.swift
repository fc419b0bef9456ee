import BSON
import Core
import Query

extension DataStore {
    /// `DuplicateKey` (11000) with `keyPattern` and `keyValue`, worded as MongoDB's.
    @inline(never)
    func duplicateKey(_ document: DocumentView, _ collection: Collection, _ index: CollectionIndex) -> ServerError {
        var values = Document()
        var text = ""
        index.keyPattern.withView { pattern in
            for element in pattern {
                let path = element.key.string
                let value = DataStore.value(at: path[...], in: document).map { Value($0) } ?? .null
                values.append(path, value)
                text += (text.isEmpty ? "" : ", ") + "\(path): \(DataStore.describe(value))"
            }
        }
        return ServerError(
            .duplicateKey,
            "E11000 duplicate key error collection: \(collection.namespace) index: \(index.name) dup key: { \(text) }",
            details: ["keyPattern": .document(index.keyPattern), "keyValue": .document(values)])
    }

    /// The value at a dotted path; through an array, that of the first element that has it.
    private static func value(at path: Substring, in document: DocumentView) -> ValueView? {
        guard let dot = path.firstIndex(of: ".") else { return document[String(path)] }
        let rest = path[path.index(after: dot)...]
        guard let value = document[String(path[..<dot])] else { return nil }
        if let nested = value.asDocument { return self.value(at: rest, in: nested) }
        guard let array = value.asArray else { return nil }
        if let found = self.value(at: rest, in: array) { return found }
        for element in array {
            if let nested = element.value.asDocument, let found = self.value(at: rest, in: nested) { return found }
        }
        return nil
    }

    /// A value as MongoDB's messages write it.
    private static func describe(_ value: Value) -> String {
        switch value {
        case .string(let text): "\"\(text)\""
        case .objectID(let id): "ObjectId('\(id)')"
        case .int32(let number): "\(number)"
        case .int64(let number): "\(number)"
        case .double(let number): "\(number)"
        case .bool(let bool): "\(bool)"
        case .null: "null"
        case .undefined: "undefined"
        case .dateTime(let millis): "new Date(\(millis))"
        case .timestamp(let timestamp): "Timestamp(\(timestamp.seconds), \(timestamp.increment))"
        case .document(let document):
            document.isEmpty
                ? "{}"
                : "{ " + document.fields.map { "\($0.key): \(describe($0.value))" }.joined(separator: ", ") + " }"
        case .array(let array):
            array.isEmpty ? "[]" : "[ " + array.values.map { describe($0) }.joined(separator: ", ") + " ]"
        case .binary(let subtype, let bytes): "BinData(\(subtype), \(hex(bytes)))"
        case .minKey: "MinKey"
        case .maxKey: "MaxKey"
        case .regex(let pattern, let options): "/\(pattern)/\(options)"
        default: "\(value.type)"
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
