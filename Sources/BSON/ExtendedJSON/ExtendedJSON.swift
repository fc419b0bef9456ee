/// The two forms of MongoDB Extended JSON v2.
public enum ExtendedJSONMode: Sendable {
    /// Keeps every type: `{"$numberInt": "1"}`.
    case canonical
    /// Plain JSON where a reader can guess the type: numbers, dates from 1970 to 9999.
    case relaxed
}

/// Why text is not Extended JSON.
public struct InvalidExtendedJSON: Error, Equatable, CustomStringConvertible {
    public let reason: String
    /// UTF-8 offset of the text that breaks JSON's grammar; nil when the JSON is fine and a `$` object is not.
    public let offset: Int?

    init(_ reason: String, at offset: Int? = nil) {
        self.reason = reason
        self.offset = offset
    }

    public var description: String { offset.map { "\(reason) at byte \($0)" } ?? reason }
}

extension Document {
    /// Parses one Extended JSON object, in canonical, relaxed or mixed form.
    public init(extendedJSON text: String) throws(InvalidExtendedJSON) {
        guard case .document(let document) = try Value(extendedJSON: text) else {
            throw InvalidExtendedJSON("a value that is not a document")
        }
        self = document
    }

    public func extendedJSON(_ mode: ExtendedJSONMode = .relaxed) -> String {
        withView { $0.extendedJSON(mode) }
    }
}

extension Document: CustomStringConvertible {
    public var description: String { extendedJSON(.relaxed) }
}

extension DocumentView {
    public func extendedJSON(_ mode: ExtendedJSONMode = .relaxed) -> String {
        var writer = ExtendedJSONWriter(mode: mode)
        writer.write(document: self)
        return writer.text
    }
}

extension Value {
    /// Parses one Extended JSON value.
    public init(extendedJSON text: String) throws(InvalidExtendedJSON) {
        self = try ExtendedJSONReader.value(JSONScanner.parse(text))
    }

    public func extendedJSON(_ mode: ExtendedJSONMode = .relaxed) -> String {
        (["": self] as Document).withView { view in
            var writer = ExtendedJSONWriter(mode: mode)
            for element in view { writer.write(element.value) }
            return writer.text
        }
    }
}

extension Value: CustomStringConvertible {
    public var description: String { extendedJSON(.relaxed) }
}
