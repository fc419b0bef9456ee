import BSON
import Core

/// The rules of index specifications, and what a valid one says.
struct IndexSpecValidator {
    private(set) var name = ""
    private(set) var pattern = KeyPattern([])
    private(set) var isUnique = false
    private(set) var isPreparedUnique = false
    private(set) var isSparse = false
    private(set) var isHidden = false
    private(set) var expireAfterSeconds: Int64?
    private(set) var partialFilter: Filter?
    private(set) var definition = Document()

    /// Options that are accepted and have no effect.
    private static let ignored = ["background", "ns", "dropDups"]
    /// Options of index types that are not built.
    private static let refused = [
        "weights", "default_language", "language_override", "textIndexVersion", "2dsphereIndexVersion", "bits", "min",
        "max", "bucketSize", "wildcardProjection",
    ]

    /// All names that a specification may have.
    static let known = Set(
        ignored + refused + [
            "key", "name", "v", "unique", "prepareUnique", "sparse", "hidden", "expireAfterSeconds",
            "partialFilterExpression", "collation", "storageEngine",
        ])

    init(_ specification: DocumentView, context: QueryContext) throws(ServerError) {
        guard let key = specification["key"] else {
            throw ServerError(.failedToParse, "The 'key' field is a required property of an index specification")
        }
        guard let keyDocument = key.asDocument else {
            throw ServerError(.typeMismatch, "The field 'key' must be an object, but got \(key.type)")
        }
        guard let nameValue = specification["name"] else {
            throw ServerError(.failedToParse, "The 'name' field is a required property of an index specification")
        }
        guard let name = nameValue.asString else {
            throw ServerError(.typeMismatch, "The field 'name' must be a string, but got \(nameValue.type)")
        }
        guard !name.isEmpty else { throw ServerError(.cannotCreateIndex, "index name cannot be empty") }
        guard !name.utf8.contains(0) else {
            throw ServerError(.cannotCreateIndex, "index name cannot contain an embedded null byte")
        }
        self.name = name
        pattern = try IndexSpecValidator.keyPattern(keyDocument)
        for element in specification { try option(element, in: specification, context: context) }
        try checkTogether(keyDocument)
        definition = define(keyDocument, specification)
    }

    // MARK: The key pattern

    static func keyPattern(_ key: DocumentView) throws(ServerError) -> KeyPattern {
        guard !key.isEmpty else { throw ServerError(.cannotCreateIndex, "Index keys cannot be empty.") }
        var fields: [KeyPattern.Field] = []
        for element in key {
            let name = element.key.string
            try checkFieldName(name)
            let kind = try kind(element.value)
            let path = CompiledPath(name)
            guard path.count <= Limits.indexPathPartsMax else {
                throw ServerError(
                    .cannotCreateIndex, "Index key path has more than \(Limits.indexPathPartsMax) names: \(name)")
            }
            guard !fields.contains(where: { $0.path.string == name }) else {
                throw ServerError(.cannotCreateIndex, "Index key pattern names the field '\(name)' twice")
            }
            fields.append(KeyPattern.Field(path: path, kind: kind))
        }
        guard fields.count <= Limits.indexFieldsMax else {
            throw ServerError(ErrorCode(rawValue: 13103), "too many compound keys")
        }
        let hashed = fields.filter { $0.kind == .hashed }.count
        guard hashed <= 1 else {
            throw ServerError(
                ErrorCode(rawValue: 31303), "A maximum of one index field is allowed to be hashed but found \(hashed)")
        }
        return KeyPattern(fields)
    }

    private static func checkFieldName(_ name: String) throws(ServerError) {
        guard !name.isEmpty else { throw ServerError(.cannotCreateIndex, "Index keys cannot be an empty field.") }
        if name == "$**" || name.hasSuffix(".$**") {
            throw ServerError(.cannotCreateIndex, "Wildcard indexes are not supported")
        }
        for part in name.split(separator: ".", omittingEmptySubsequences: false) {
            guard !part.isEmpty else {
                throw ServerError(.cannotCreateIndex, "Index keys cannot contain an empty field.")
            }
            guard !part.hasPrefix("$") || ["$id", "$ref", "$db"].contains(part) else {
                throw ServerError(
                    .cannotCreateIndex, "Index key contains an illegal field name: field name starts with '$'.")
            }
        }
    }

    private static func kind(_ value: ValueView) throws(ServerError) -> KeyPattern.Kind {
        if let plugin = value.asString {
            switch plugin {
            case "hashed": return .hashed
            case "text", "2d", "2dsphere", "geoHaystack":
                throw ServerError(.cannotCreateIndex, "Index type '\(plugin)' is not supported")
            default: throw ServerError(.cannotCreateIndex, "Unknown index plugin '\(plugin)'")
            }
        }
        guard value.type.isNumber, let number = value.asNumber, !number.isNaN else {
            throw ServerError(
                .cannotCreateIndex,
                "Values in v:2 index key pattern cannot be of type \(value.type). Only numbers > 0, numbers < 0, and "
                    + "strings are allowed.")
        }
        guard number != 0 else {
            throw ServerError(.cannotCreateIndex, "Values in the index key pattern cannot be 0.")
        }
        return number > 0 ? .ascending : .descending
    }

    // MARK: Options

    private mutating func option(
        _ element: DocumentView.Element, in specification: DocumentView, context: QueryContext
    ) throws(ServerError) {
        let value = element.value
        switch element.key {
        case "key", "name": break
        case "v":
            guard value.asInteger == 2 else {
                throw ServerError(
                    .cannotCreateIndex,
                    "Invalid index specification; cannot create an index with v=\(ValueText.text(value)), only 2 is "
                        + "supported"
                )
            }
        case "unique": isUnique = try flag(element)
        case "prepareUnique": isPreparedUnique = try flag(element)
        case "storageEngine":
            guard let engines = value.asDocument else {
                throw ServerError(.typeMismatch, "The field 'storageEngine' must be an object")
            }
            guard engines.isEmpty else {
                throw ServerError(.invalidOptions, "Options of storage engines are not supported for indexes")
            }
        case "sparse": isSparse = try flag(element)
        case "hidden":
            guard let flag = element.value.asBool else {
                throw ServerError(
                    .typeMismatch,
                    "The field 'hidden' must be a bool, but got \(element.value.type.operatorName)")
            }
            isHidden = flag
        case "expireAfterSeconds":
            guard value.type.isNumber, let number = value.asNumber else {
                throw ServerError(.cannotCreateIndex, "TTL index 'expireAfterSeconds' option must be numeric")
            }
            guard number >= 0, number <= Double(Int32.max) else {
                throw ServerError(
                    .cannotCreateIndex, "TTL index 'expireAfterSeconds' option must be within an acceptable range")
            }
            expireAfterSeconds = Int64(number)
        case "partialFilterExpression":
            guard let document = value.asDocument else {
                throw ServerError(.typeMismatch, "The field 'partialFilterExpression' must be an object")
            }
            let filter = try Filter(document, context: context)
            try PartialIndex.check(filter.tree)
            partialFilter = filter
        case "collation":
            guard let document = value.asDocument else {
                throw ServerError(.typeMismatch, "The field 'collation' must be an object")
            }
            guard document["locale"]?.asString == "simple" else {
                throw ServerError(.cannotCreateIndex, "Only the collation {locale: 'simple'} is supported")
            }
        default:
            let name = element.key.string
            if IndexSpecValidator.ignored.contains(name) { return }
            if IndexSpecValidator.refused.contains(name) {
                throw ServerError(.cannotCreateIndex, "The index option '\(name)' is not supported")
            }
            throw ServerError(
                .invalidIndexSpecificationOption,
                "The field '\(name)' is not valid for an index specification. Specification: "
                    + ValueText.document(specification.document))
        }
    }

    private func flag(_ element: DocumentView.Element) throws(ServerError) -> Bool {
        guard element.value.type == .bool || element.value.type.isNumber else {
            throw ServerError(
                .typeMismatch,
                "The field '\(element.key.string)' has value \(ValueText.text(element.value)), which is not "
                    + "convertible to bool"
            )
        }
        return element.value.isTruthy
    }

    private func checkTogether(_ key: DocumentView) throws(ServerError) {
        let hasHashed = pattern.fields.contains { $0.kind == .hashed }
        if hasHashed, isUnique {
            throw ServerError(
                ErrorCode(rawValue: 16764),
                "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.")
        }
        if partialFilter != nil, isSparse {
            throw ServerError(
                .cannotCreateIndex, "cannot mix \"partialFilterExpression\" and \"sparse\" options")
        }
        if expireAfterSeconds != nil, pattern.fields.count > 1 {
            throw ServerError(
                .cannotCreateIndex, "TTL indexes are single-field indexes, compound indexes do not support TTL")
        }
        if expireAfterSeconds != nil, hasHashed {
            throw ServerError(.cannotCreateIndex, "A hashed index does not support TTL: it keeps no dates")
        }
        let isIdKey = pattern.fields.count == 1 && pattern.fields[0].path.string == "_id"
        if expireAfterSeconds != nil, isIdKey {
            throw ServerError(
                .invalidIndexSpecificationOption,
                "The field 'expireAfterSeconds' is not valid for an _id index specification.")
        }
        if isIdKey, pattern.fields[0].kind == .ascending {
            for (isSet, option) in [
                (isUnique, "unique"), (isPreparedUnique, "prepareUnique"), (isSparse, "sparse"),
                (partialFilter != nil, "partialFilterExpression"), (isHidden, "hidden"),
            ]
            where isSet {
                throw ServerError(
                    option == "hidden" ? .badValue : .invalidIndexSpecificationOption,
                    option == "hidden"
                        ? "can't hide _id index" : "The field '\(option)' is not valid for an _id index specification.")
            }
            return
        }
        if name == "_id_" {
            throw ServerError(
                .badValue,
                "The index name '_id_' is reserved for the _id index, which must have key pattern {_id: 1}, found key: "
                    + ValueText.document(key.document))
        }
    }

    /// The specification as it is stored and listed: version, key, name, then the options.
    private func define(_ key: DocumentView, _ specification: DocumentView) -> Document {
        let isIdIndex =
            pattern.fields.count == 1 && pattern.fields[0].path.string == "_id" && pattern.fields[0].kind == .ascending
        return Document { writer in
            writer.append("v", int32: 2)
            writer.append("key", key)
            writer.append("name", string: isIdIndex ? "_id_" : name)
            guard !isIdIndex else { return }
            for element in specification {
                switch element.key {
                case "unique", "prepareUnique", "sparse", "hidden":
                    if element.value.isTruthy { writer.append(element.key, .bool(true)) }
                case "v", "key", "name", "collation", "ns", "dropDups", "storageEngine": break
                default: writer.append(element.key, element.value)
                }
            }
        }
    }
}
