import BSON
import Core
import Query

/// What a `collMod` changes of an index: `{name | keyPattern, expireAfterSeconds, hidden, prepareUnique, unique}`.
struct IndexModification {
    let name: String
    private var expireAfterSeconds: Value?
    private var hidden: Bool?
    private var prepareUnique: Bool?
    /// Whether the index shall be unique, and whether that changes it.
    private(set) var asksForUnique = false
    private(set) var becomesUnique = false
    private(set) var reply = Document()

    init(_ view: DocumentView, _ collection: Collection, isApplying: Bool) throws(ServerError) {
        let index = try IndexModification.find(
            view, isApplying ? collection.indexes : collection.readyIndexes, collection)
        name = index.name
        var changes = 0
        for element in view {
            switch element.key {
            case "name", "keyPattern": continue
            case "expireAfterSeconds": try readExpiry(element.value, index, collection)
            case "hidden": hidden = try IndexModification.flag(element)
            case "prepareUnique": prepareUnique = try IndexModification.flag(element)
            case "unique":
                guard try IndexModification.flag(element) else {
                    throw ServerError(.badValue, "Cannot make index non-unique")
                }
                asksForUnique = true
            default:
                throw ServerError(
                    .unknownField, "BSON field 'collMod.index.\(element.key.string)' is an unknown field.")
            }
            changes += 1
        }
        guard changes > 0 else {
            throw ServerError(.invalidOptions, "no expireAfterSeconds, hidden, unique, or prepareUnique field")
        }
        guard prepareUnique == nil || changes == 1 else {
            throw ServerError(.invalidOptions, "prepareUnique cannot be combined with other index modifications")
        }
        if index.isIDIndex { throw refusedOfIDIndex }
        if let hidden { note("hidden", index.spec.isHidden, hidden) }
        if let prepareUnique {
            if index.spec.pattern.fields.contains(where: { $0.kind == .hashed }) {
                throw ServerError(.invalidOptions, "A hashed index cannot be unique")
            }
            note("prepareUnique", index.spec.isPreparedUnique, prepareUnique)
        }
        guard asksForUnique, !index.spec.isUnique else { return }
        guard isApplying || index.spec.isPreparedUnique else {
            throw ServerError(.invalidOptions, "Cannot make index unique with 'prepareUnique=false'")
        }
        becomesUnique = true
        reply.append("unique_new", .bool(true))
    }

    private static func find(
        _ view: DocumentView, _ indexes: [CollectionIndex], _ collection: Collection
    ) throws(ServerError) -> CollectionIndex {
        guard view["name"] == nil || view["keyPattern"] == nil else {
            throw ServerError(.invalidOptions, "Cannot specify both key pattern and name.")
        }
        if let value = view["name"] {
            guard let name = value.asString else {
                throw ServerError(.typeMismatch, "collMod.index.name must be a string")
            }
            if let index = indexes.first(where: { $0.name == name }) { return index }
        } else if let value = view["keyPattern"] {
            guard let pattern = value.asDocument else {
                throw ServerError(.typeMismatch, "collMod.index.keyPattern must be a document")
            }
            let found = indexes.filter { $0.keyPattern == pattern.document }
            guard found.count < 2 else {
                throw ServerError(
                    .ambiguousIndexKeyPattern,
                    "index keyPattern \(pattern.document.keys) matches \(found.count) indexes, must use index name. "
                        + "Conflicting indexes: \(found.map { $0.name })")
            }
            if let index = found.first { return index }
        } else {
            throw ServerError(.invalidOptions, "Must specify either index name or key pattern.")
        }
        throw ServerError(.indexNotFound, "cannot find index for ns \(collection.namespace)")
    }

    private static func flag(_ element: DocumentView.Element) throws(ServerError) -> Bool {
        guard element.value.type == .bool || element.value.type.isNumber else {
            throw ServerError(.typeMismatch, "collMod.index.\(element.key.string) must be a bool")
        }
        return element.value.isTruthy
    }

    private mutating func readExpiry(
        _ value: ValueView, _ index: CollectionIndex, _ collection: Collection
    ) throws(ServerError) {
        guard let seconds = value.coercedInteger else {
            throw ServerError(.typeMismatch, "collMod.index.expireAfterSeconds must be a number")
        }
        guard seconds >= 0, seconds <= Int64(Int32.max) else {
            throw ServerError(
                .invalidOptions, "TTL index 'expireAfterSeconds' option must be within an acceptable range")
        }
        guard index.spec.pattern.fields.count == 1 else {
            throw ServerError(
                .invalidOptions, "TTL indexes are single-field indexes, compound indexes do not support TTL")
        }
        guard index.spec.pattern.fields[0].kind != .hashed else {
            throw ServerError(.invalidOptions, "A hashed index does not support TTL: it keeps no dates")
        }
        guard collection.options.capped == nil else {
            throw ServerError(.invalidOptions, "TTL indexes are not supported for capped collections.")
        }
        if let old = index.definition["expireAfterSeconds"] {
            reply.append("expireAfterSeconds_old", .int64(old.asInteger ?? 0))
        }
        reply.append("expireAfterSeconds_new", .int64(seconds))
        expireAfterSeconds = .int64(seconds)
    }

    private var refusedOfIDIndex: ServerError {
        if hidden != nil { return ServerError(.badValue, "can't hide _id index") }
        return ServerError(.invalidOptions, "the _id index cannot be changed: it is unique, and does not support TTL")
    }

    private mutating func note(_ option: String, _ old: Bool, _ new: Bool) {
        reply.append("\(option)_old", .bool(old))
        reply.append("\(option)_new", .bool(new))
    }

    func write(to writer: DocumentWriter) {
        writer.append("name", string: name)
        if let expireAfterSeconds { writer.append("expireAfterSeconds", expireAfterSeconds) }
        if let hidden { writer.append("hidden", bool: hidden) }
        if let prepareUnique { writer.append("prepareUnique", bool: prepareUnique) }
        if becomesUnique { writer.append("unique", bool: true) }
    }

    func apply(to collection: Collection) throws {
        guard let position = collection.indexes.firstIndex(where: { $0.name == name }) else { return }
        let index = collection.indexes[position]
        var definition = index.definition
        if let expireAfterSeconds { definition["expireAfterSeconds"] = expireAfterSeconds }
        if let hidden { definition["hidden"] = hidden ? true : nil }
        if let prepareUnique { definition["prepareUnique"] = prepareUnique ? true : nil }
        if becomesUnique {
            definition["prepareUnique"] = nil
            definition["unique"] = true
        }
        collection.indexes[position] = try index.redefined(definition)
    }
}
