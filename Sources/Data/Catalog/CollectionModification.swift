import BSON
import Core

/// What a `collMod` changes.
struct CollectionModification {
    private var validation: [(key: String, value: Value)] = []
    private var cappedSize: Int64?
    private var cappedMax: Int64?
    /// The new `expireAfterSeconds` of a clustered collection, nil in it for none any more.
    private var expiry: Int64??
    private(set) var index: IndexModification?
    /// Whether the command only asks if its index could become unique.
    private(set) var isDryRun = false
    /// What the reply shows beside `ok`.
    var reply: Document { index?.reply ?? Document() }

    /// Reads a `collMod` command, or an entry that is applied: what an entry says was checked where it was written.
    init(_ command: DocumentView, _ collection: Collection, isApplying: Bool = false) throws(ServerError) {
        for element in command {
            switch element.key {
            case "validator", "validationLevel", "validationAction":
                validation.append((element.key.string, Value(element.value)))
            case "cappedSize": cappedSize = try CollectionModification.positive(element)
            case "cappedMax": cappedMax = try CollectionModification.positive(element)
            case "index":
                guard let view = element.value.asDocument else {
                    throw ServerError(.typeMismatch, "collMod.index must be a document")
                }
                index = try IndexModification(view, collection, isApplying: isApplying)
            case "dryRun":
                isDryRun = element.value.isTruthy
            case "expireAfterSeconds":
                guard collection.options.clustered != nil else {
                    throw ServerError(
                        .invalidOptions,
                        "'expireAfterSeconds' is only supported on a time-series collection or a clustered collection")
                }
                expiry = .some(try ClusteredIndex.seconds(element.value))
            default: try CollectionOptions.refuseUnsupported(element)
            }
        }
        if cappedSize != nil || cappedMax != nil, collection.options.capped == nil {
            throw ServerError(.invalidOptions, "Collection must be capped.")
        }
        guard !isDryRun || index?.asksForUnique == true else {
            throw ServerError(.invalidOptions, "dryRun mode may only be used with 'index: {unique: true}'")
        }
        guard !isDryRun || (validation.isEmpty && cappedSize == nil && cappedMax == nil) else {
            throw ServerError(.invalidOptions, "dryRun mode may not be used with other changes")
        }
    }

    private static func positive(_ element: DocumentView.Element) throws(ServerError) -> Int64 {
        let isSize = element.key == "cappedSize"
        guard let value = element.value.coercedInteger, value > 0 || !isSize,
            value <= (isSize ? 1 << 50 : Int64(Int32.max))
        else { throw ServerError(.badValue, "\(element.key.string) is out of range") }
        // As when it is created, no number means no bound.
        return isSize ? value : max(value, 0)
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
        if let expiry {
            writer.append("expireAfterSeconds" as String, expiry.map { .int64($0) } ?? .string("off"))
        }
        if let index { writer.document("index") { index.write(to: $0) } }
    }

    /// Changes the collection in memory.
    func apply(to collection: Collection) throws {
        for (key, value) in validation { collection.options.validation[key] = value }
        if let cappedSize { collection.options.capped?.size = cappedSize }
        if let cappedMax { collection.options.capped?.max = cappedMax > 0 ? cappedMax : nil }
        if let expiry { collection.options.clustered?.expireAfterSeconds = expiry }
        try index?.apply(to: collection)
    }
}
