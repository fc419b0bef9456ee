import BSON
import Core

/// What a `collMod` changes.
struct CollectionModification {
    private var validation: [(key: String, value: Value)] = []
    private var cappedSize: Int64?
    private var cappedMax: Int64?
    private var indexName: String?
    private var expireAfterSeconds: Value?
    private var hidden: Bool?
    /// What the reply shows beside `ok`.
    private(set) var reply = Document()

    /// Reads a `collMod` command or entry.
    init(_ command: DocumentView, _ collection: Collection) throws(ServerError) {
        for element in command {
            switch element.key {
            case "validator", "validationLevel", "validationAction":
                validation.append((element.key.string, Value(element.value)))
            case "cappedSize": cappedSize = try CollectionModification.positive(element)
            case "cappedMax": cappedMax = try CollectionModification.positive(element)
            case "index":
                guard let index = element.value.asDocument else {
                    throw ServerError(.typeMismatch, "collMod.index must be a document")
                }
                try readIndex(index, collection)
            case "viewOn", "pipeline": throw ServerError(.commandNotSupported, "views are not supported")
            default: break
            }
        }
        if cappedSize != nil || cappedMax != nil, collection.options.capped == nil {
            throw ServerError(.invalidOptions, "Collection must be capped.")
        }
    }

    private static func positive(_ element: DocumentView.Element) throws(ServerError) -> Int64 {
        guard let value = element.value.asInteger, value > 0 else {
            throw ServerError(.invalidOptions, "\(element.key.string) must be a positive number")
        }
        return value
    }

    private mutating func readIndex(_ view: DocumentView, _ collection: Collection) throws(ServerError) {
        let index: CollectionIndex?
        if let name = view["name"]?.asString {
            index = collection.index(named: name)
        } else if let pattern = view["keyPattern"]?.asDocument {
            index = collection.indexes.first { $0.keyPattern == pattern.document }
        } else {
            throw ServerError(.invalidOptions, "no index name or key pattern")
        }
        guard let index else { throw ServerError(.indexNotFound, "cannot find index for ns \(collection.namespace)") }
        if index.isIDIndex { throw ServerError(.badValue, "cannot change options of the _id index") }
        indexName = index.name
        if let expire = view["expireAfterSeconds"] {
            guard let seconds = expire.asNumber, seconds >= 0 else {
                throw ServerError(.invalidOptions, "expireAfterSeconds field must be a number of seconds, not negative")
            }
            if let old = index.definition["expireAfterSeconds"] { reply.append("expireAfterSeconds_old", old) }
            reply.append("expireAfterSeconds_new", Value(expire))
            expireAfterSeconds = Value(expire)
        }
        if let value = view["hidden"]?.asBool {
            reply.append("hidden_old", .bool(index.definition["hidden"]?.asBool ?? false))
            reply.append("hidden_new", .bool(value))
            hidden = value
        }
    }

    /// - Throws: what is wrong with the validator that the collection would have.
    func checkValidator(_ collection: Collection) throws(ServerError) {
        var options = collection.options.validation
        for (key, value) in validation { options[key] = value }
        _ = try DocumentValidator(options)
    }

    /// Writes the change as its entry has it.
    func write(to writer: DocumentWriter) {
        for (key, value) in validation { writer.append(key, value) }
        if let cappedSize { writer.append("cappedSize", int64: cappedSize) }
        if let cappedMax { writer.append("cappedMax", int64: cappedMax) }
        guard let indexName else { return }
        writer.document("index") { index in
            index.append("name", string: indexName)
            if let expireAfterSeconds { index.append("expireAfterSeconds", expireAfterSeconds) }
            if let hidden { index.append("hidden", bool: hidden) }
        }
    }

    /// Changes the collection in memory.
    func apply(to collection: Collection) throws {
        for (key, value) in validation { collection.options.validation[key] = value }
        if let cappedSize { collection.options.capped?.size = cappedSize }
        if let cappedMax { collection.options.capped?.max = cappedMax }
        guard let indexName, let position = collection.indexes.firstIndex(where: { $0.name == indexName }) else {
            return
        }
        let index = collection.indexes[position]
        var definition = index.definition
        if let expireAfterSeconds { definition["expireAfterSeconds"] = expireAfterSeconds }
        if let hidden { definition["hidden"] = hidden ? true : nil }
        collection.indexes[position] = try index.redefined(definition)
    }
}
