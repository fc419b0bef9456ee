import BSON

/// Equality as schemas have it: numbers by value, documents whatever the order of their fields.
enum SchemaEquality {
    /// The value with the fields of its documents in order of their names, so that equal values compare as equal.
    static func canonical(_ value: Value) -> Value {
        switch value {
        case .document(let document):
            var fields = document.fields.map { (key: $0.key, value: canonical($0.value)) }
            fields.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            return .document(Document { writer in for field in fields { writer.append(field.key, field.value) } })
        case .array(let array): return .array(array.values.map { canonical($0) })
        default: return value
        }
    }
}
