import BSON
import Core

/// A dotted path of an expression: `"a.b"`, without its dollar sign.
///
/// Through an array it leads to the array of what it finds in the array's documents (not in arrays inside it).
struct ExpressionPath: Sendable {
    /// The names in UTF-8.
    let components: [[UInt8]]

    var dotted: String { components.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".") }

    /// Parses and checks a path.
    init(_ dotted: String) throws(ServerError) {
        guard !dotted.isEmpty else {
            throw ServerError(location: 40352, "FieldPath cannot be constructed with empty string")
        }
        guard dotted.utf8.last != UInt8(ascii: ".") else {
            throw ServerError(location: 40353, "FieldPath must not end with a '.'.")
        }
        var components: [[UInt8]] = []
        for part in dotted.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            try ExpressionPath.checkName(part)
            components.append(Array(part))
        }
        guard components.count <= Limits.pathComponentsMax else {
            throw ServerError(.overflow, "FieldPath is too long: more than \(Limits.pathComponentsMax) components")
        }
        self.components = components
    }

    init(components: [[UInt8]]) { self.components = components }

    /// Checks one field name of a path.
    static func checkName(_ name: some Collection<UInt8>) throws(ServerError) {
        guard let first = name.first else {
            throw ServerError(location: 15998, "FieldPath field names may not be empty strings.")
        }
        if first == UInt8(ascii: "$") {
            throw ServerError(
                location: 16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
        }
        if name.contains(0) {
            throw ServerError(location: 16411, "FieldPath field names may not contain '\\0'.")
        }
        if name.contains(UInt8(ascii: ".")) {
            throw ServerError(
                location: 16412, "FieldPath field names may not contain '.'. Consider using $getField or $setField.")
        }
    }

    func resolve(in document: DocumentView) -> Value? { resolve(in: document, from: 0) }

    func resolve(in value: Value) -> Value? {
        switch value {
        case .document(let document): document.withView { resolve(in: $0, from: 0) }
        case .array(let array): array.withView { resolve(inArray: $0, from: 0) }
        default: nil
        }
    }

    private func resolve(in document: DocumentView, from index: Int) -> Value? {
        guard let found = find(components[index], in: document) else { return nil }
        if index + 1 == components.count { return Value(found) }
        switch found.type {
        case .document: return resolve(in: DocumentView(base: found.pointer), from: index + 1)
        case .array: return resolve(inArray: DocumentView(base: found.pointer), from: index + 1)
        default: return nil
        }
    }

    private func resolve(inArray array: DocumentView, from index: Int) -> Value {
        var values: [Value] = []
        for element in array where element.value.type == .document {
            if let value = resolve(in: DocumentView(base: element.value.pointer), from: index) { values.append(value) }
        }
        return .array(values)
    }

    private func find(_ name: [UInt8], in document: DocumentView) -> ValueView? {
        name.withUnsafeBytes { raw in raw.baseAddress.flatMap { document.find($0, count: raw.count) } }
    }
}
