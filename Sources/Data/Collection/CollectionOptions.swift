public import BSON
public import Core

/// What a collection was created with.
public struct CollectionOptions: Hashable, Sendable {
    /// Bytes and number of documents that a capped collection keeps; nil for others.
    public struct Capped: Hashable, Sendable {
        public var size: Int64
        public var max: Int64?

        init(size: Int64, max: Int64?) {
            // MongoDB rounds up to a multiple of 256 and keeps no capped collection below 4096 bytes.
            let rounded = size > Int64.max - 256 ? size : (size + 255) / 256 * 256
            self.size = Swift.max(rounded, 4096)
            self.max = max.flatMap { $0 > 0 ? $0 : nil }
        }

        /// The size that a command gives in bytes.
        public init(size value: ValueView?) throws(ServerError) {
            guard let value, value.type != .null else {
                throw ServerError(.missingField, "the field 'size' is missing but a required field")
            }
            guard value.type.isNumber, let number = value.asNumber else {
                throw ServerError(.typeMismatch, "the field 'size' must be a number")
            }
            guard number >= 1 else {
                throw ServerError(.invalidOptions, "Capped collection size must be greater than zero")
            }
            guard number <= Double(1 << 50) else {
                throw ServerError(.badValue, "Cannot exceed 1 PB")
            }
            self.init(size: Int64(number), max: nil)
        }
    }
    public var capped: Capped?
    /// Nil for a collection whose natural order is that of insertion.
    public var clustered: ClusteredIndex?
    /// The query that new documents have to match, with its level and action.
    public var validation = Document()

    public init() {}

    /// Options of `create`, from a command or an entry. Fields that every command may carry are skipped.
    public init(parsing command: DocumentView) throws(ServerError) {
        var isCapped = false
        var size: Int64?
        var max: Int64?
        var expiry: ValueView?
        for element in command {
            switch element.key {
            case "capped": isCapped = element.value.isTruthy
            case "size": size = try CollectionOptions.integer(element)
            case "max": max = try CollectionOptions.integer(element)
            case "validator", "validationLevel", "validationAction":
                validation.append(element.key.string, Value(element.value))
            case "collation":
                try CollectionOptions.checkCollation(element.value)
            case "clusteredIndex":
                clustered = try ClusteredIndex(element.value)
                guard command["capped"]?.isTruthy != true else {
                    throw ServerError(
                        ErrorCode(rawValue: 6_049_200), "A capped collection cannot be clustered")
                }
                guard clustered == nil || command["max"] == nil else {
                    throw ServerError(
                        ErrorCode(rawValue: 6_049_204), "'max' is not supported on a clustered collection")
                }
                guard clustered == nil || !hasOwnIDIndex(command) else {
                    throw ServerError(.invalidOptions, "The 'clusteredIndex' option is not supported with 'idIndex'")
                }
            case "expireAfterSeconds": expiry = element.value
            case "idIndex": try CollectionOptions.checkIDIndex(element.value)
            default: try CollectionOptions.refuseUnsupported(element)
            }
        }
        if let expiry {
            guard clustered != nil else {
                throw ServerError(
                    .invalidOptions,
                    "'expireAfterSeconds' is only supported on time-series collections or when the 'clusteredIndex' "
                        + "option is specified")
            }
            clustered?.expireAfterSeconds = try ClusteredIndex.seconds(expiry)
        }
        if isCapped {
            guard let size else {
                throw ServerError(.invalidOptions, "the 'size' field is required when 'capped' is true")
            }
            guard size > 0, size <= 1 << 50 else {
                throw ServerError(.badValue, "Capped collection size must be greater than zero and at most 1 PB")
            }
            guard (max ?? 0) <= Int64(Int32.max) else {
                throw ServerError(.badValue, "max in a capped collection has to be < 2^31 or not set")
            }
            capped = Capped(size: size, max: max)
        } else if size != nil || max != nil {
            throw ServerError(
                .invalidOptions,
                "the 'capped' field needs to be true when either the 'size' or 'max' fields are present")
        }
    }

    /// Whether a command speaks of the index on `_id`; the entry of a creation always does.
    private func hasOwnIDIndex(_ command: DocumentView) -> Bool {
        guard let index = command["idIndex"]?.asDocument else { return false }
        return index.document != CollectionIndex.idDefinition
    }

    /// Refuses what `create` and `collMod` of MongoDB know and is not there, unless it asks for what is so anyway.
    static func refuseUnsupported(_ element: DocumentView.Element) throws(ServerError) {
        let value = element.value
        let what: String
        switch element.key {
        case "viewOn", "pipeline":
            guard value.type != .null else { return }
            throw ServerError(.invalidOptions, "the option '\(element.key.string)' is only supported on a view")
        case "timeseries": what = "time series collections are"
        case "encryptedFields": what = "queryable encryption is"
        case "changeStreamPreAndPostImages":
            guard let images = value.asDocument else { throw wrongType(element, "object") }
            guard images["enabled"]?.isTruthy == true else { return }
            what = "pre- and post-images of changes are"
        case "recordPreImages":
            guard value.isTruthy else { return }
            what = "pre-images of changes are"
        case "storageEngine", "indexOptionDefaults":
            guard let options = value.asDocument else { throw wrongType(element, "object") }
            let isPlain = options.allSatisfy { $0.value.asDocument?.isEmpty == true }
            guard !isPlain else { return }
            what = "options of a storage engine (\(element.key.string)) are"
        case "autoIndexId":
            guard !value.isTruthy else { return }
            what = "collections without an index on _id are"
        case "temp":
            guard value.isTruthy else { return }
            what = "temporary collections are"
        default: return
        }
        throw ServerError(.commandNotSupported, "\(what) not supported")
    }

    private static func wrongType(_ element: DocumentView.Element, _ expected: String) -> ServerError {
        ServerError(.typeMismatch, "the field '\(element.key.string)' must be of type \(expected)")
    }

    /// What `create` may say of the index on `_id`: what is so anyway.
    private static func checkIDIndex(_ value: ValueView) throws(ServerError) {
        guard let index = value.asDocument else {
            throw ServerError(.typeMismatch, "the field 'idIndex' must be of type object")
        }
        guard let key = index["key"], let name = index["name"] else {
            throw ServerError(.failedToParse, "The 'key' and 'name' of an _id index are required")
        }
        for element in index {
            switch element.key {
            case "key":
                guard let key = key.asDocument else {
                    throw ServerError(.typeMismatch, "The field 'key' must be an object")
                }
                guard key.fieldCount == 1, let field = key.first, field.key == "_id", field.value.asNumber == 1 else {
                    throw ServerError(.badValue, "The field 'key' for an _id index must be {_id: 1}")
                }
            case "name":
                guard let text = name.asString else {
                    throw ServerError(.typeMismatch, "The field 'name' must be a string")
                }
                guard !text.isEmpty else { throw ServerError(.cannotCreateIndex, "index name cannot be empty") }
            case "v":
                guard element.value.type.isNumber else {
                    throw ServerError(.typeMismatch, "The field 'v' must be a number")
                }
                guard let version = element.value.asInteger else {
                    throw ServerError(.badValue, "Index version must be representable as a 32-bit integer")
                }
                guard version == 1 || version == 2 else {
                    throw ServerError(.cannotCreateIndex, "Invalid index version: \(version)")
                }
            case "ns": continue
            case "collation": try checkCollation(element.value)
            default:
                throw ServerError(
                    .invalidIndexSpecificationOption,
                    "The field '\(element.key.string)' is not valid for an _id index specification.")
            }
        }
    }

    private static func integer(_ element: DocumentView.Element) throws(ServerError) -> Int64 {
        guard let value = element.value.coercedInteger else {
            throw ServerError(.typeMismatch, "the field '\(element.key.string)' must be a number")
        }
        return value
    }

    /// The collation of a command or statement.
    public static let collationField = Field(
        "collation", .object, "`{locale: \"simple\"}`; other collations are not supported yet"
    ) { (value: ValueView) throws(ServerError) in try checkCollation(value) }

    /// Only the simple collation is known.
    public static func checkCollation(_ value: ValueView) throws(ServerError) {
        guard let collation = value.asDocument else {
            throw ServerError(.typeMismatch, "collation must be a document")
        }
        if collation.isEmpty { return }
        guard collation["locale"]?.asString == "simple" else {
            throw ServerError(.commandNotSupported, "only the collation {locale: 'simple'} is supported")
        }
    }

    /// Writes the options as `listCollections` shows them and `create` takes them.
    public func write(to writer: DocumentWriter) {
        if let capped {
            writer.append("capped", bool: true)
            writer.append("size", int64: capped.size)
            if let max = capped.max { writer.append("max", int64: max) }
        }
        clustered?.write(to: writer)
        validation.withView { view in
            for element in view { writer.append(element.key, element.value) }
        }
    }
}
