public import BSON
public import Core

/// What a collection was created with.
public struct CollectionOptions: Hashable, Sendable {
    /// Bytes and number of documents that a capped collection keeps; nil for others.
    public struct Capped: Hashable, Sendable {
        public var size: Int64
        public var max: Int64?
    }
    public var capped: Capped?
    /// The query that new documents have to match, with its level and action.
    public var validation = Document()

    public init() {}

    /// Options of `create`, from a command or an entry. Fields that every command may carry are skipped.
    public init(parsing command: DocumentView) throws(ServerError) {
        var isCapped = false
        var size: Int64?
        var max: Int64?
        for element in command {
            switch element.key {
            case "capped": isCapped = element.value.isTruthy
            case "size": size = try CollectionOptions.integer(element)
            case "max": max = try CollectionOptions.integer(element)
            case "validator", "validationLevel", "validationAction":
                validation.append(element.key.string, Value(element.value))
            case "viewOn", "pipeline":
                throw ServerError(.commandNotSupported, "views are not supported")
            case "timeseries":
                throw ServerError(.commandNotSupported, "time series collections are not supported")
            case "clusteredIndex" where element.value.isTruthy:
                throw ServerError(.commandNotSupported, "clustered collections are not supported")
            case "collation":
                try CollectionOptions.checkCollation(element.value)
            default: break
            }
        }
        if isCapped {
            guard let size, size > 0 else {
                throw ServerError(.invalidOptions, "the 'size' field is required when 'capped' is true")
            }
            // MongoDB rounds up to a multiple of 256 and keeps no capped collection below 4096 bytes.
            let rounded = size > Int64.max - 256 ? size : (size + 255) / 256 * 256
            capped = Capped(size: Swift.max(rounded, 4096), max: max.flatMap { $0 > 0 ? $0 : nil })
        } else if size != nil && command["capped"] != nil {
            throw ServerError(.invalidOptions, "the 'size' field requires capped: true")
        }
    }

    private static func integer(_ element: DocumentView.Element) throws(ServerError) -> Int64 {
        if let value = element.value.asInteger { return value }
        if let value = element.value.asNumber, value.magnitude < 9e18 { return Int64(value) }
        throw ServerError(.typeMismatch, "the field '\(element.key.string)' must be a number")
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
        validation.withView { view in
            for element in view { writer.append(element.key, element.value) }
        }
    }
}
