internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query

/// The last stage of a pipeline that writes its results: `$out` and `$merge`.
enum OutputStage {
    case out(Namespace)
    case merge(MergeSpecification)

    /// The output stage of a pipeline; nil when its last stage is none.
    init?(_ pipeline: DocumentView, database: String) throws {
        var last: DocumentView?
        for element in pipeline { last = element.value.asDocument }
        guard let stage = last?.first else { return nil }
        switch stage.key {
        case "$out": self = .out(try OutputStage.outTarget(stage.value, database))
        case "$merge": self = .merge(try MergeSpecification(stage.value, database: database))
        default: return nil
        }
    }

    var target: Namespace {
        switch self {
        case .out(let namespace): namespace
        case .merge(let specification): specification.target
        }
    }

    /// `"collection"` or `{db, coll}`.
    private static func outTarget(_ value: ValueView, _ database: String) throws(ServerError) -> Namespace {
        if let name = value.asString { return try checkedOut(database, name) }
        guard let document = value.asDocument else {
            throw ServerError(
                ErrorCode(rawValue: 16990),
                "$out only supports a string or object argument, but found \(value.type.operatorName)")
        }
        let names = try OutputStage.names("$out", document)
        guard let name = names.collection else { throw missing("$out.coll") }
        guard let other = names.database else { throw missing("$out.db") }
        return try checkedOut(other, name)
    }

    private static func checkedOut(_ database: String, _ collection: String) throws(ServerError) -> Namespace {
        let namespace = try Namespace(validating: database, collection: collection)
        guard !["admin", "config", "local"].contains(database) else {
            throw ServerError(
                ErrorCode(rawValue: 31321), "Can't $out to internal database: \(database)")
        }
        guard !namespace.isSystem else {
            throw ServerError(ErrorCode(rawValue: 17385), "Can't $out to special collection: \(collection)")
        }
        return namespace
    }

    /// The fields `db` and `coll`.
    static func names(
        _ stage: String, _ document: DocumentView
    ) throws(ServerError) -> (database: String?, collection: String?) {
        var names: (database: String?, collection: String?)
        var seen: Set<String> = []
        for field in document {
            let key = field.key.string
            guard key == "db" || key == "coll" else {
                throw ServerError(.unknownField, "BSON field '\(stage).\(key)' is an unknown field.")
            }
            guard seen.insert(key).inserted else {
                throw ServerError(
                    ErrorCode(rawValue: 40413), "BSON field '\(stage).\(key)' is a duplicate field")
            }
            if field.value.type == .null { continue }
            guard let name = field.value.asString else { throw wrongType("\(stage).\(key)", field.value, "string") }
            if key == "db" { names.database = name } else { names.collection = name }
        }
        return names
    }

    static func missing(_ field: String) -> ServerError {
        ServerError(.missingField, "BSON field '\(field)' is missing but a required field")
    }

    /// The pipeline without its output stage.
    static func withoutOutput(_ pipeline: DocumentView) -> Document {
        var stages = pipeline.map { Value($0.value) }
        stages.removeLast()
        return Document(array: stages)
    }
}

/// `$merge: {into, on, let, whenMatched, whenNotMatched}`.
struct MergeSpecification {
    enum Matched {
        case replace, keepExisting, merge, fail
        case pipeline(Document)
    }
    enum NotMatched: String { case insert, discard, fail }

    let target: Namespace
    let on: [String]
    let variables: Document
    let matched: Matched
    let notMatched: NotMatched

    init(_ value: ValueView, database: String) throws {
        guard let fields = value.asDocument else {
            guard let name = value.asString else { throw wrongType("$merge", value, "[string, object]") }
            target = try MergeSpecification.target(database, name)
            (on, variables, matched, notMatched) = (["_id"], Document(), .merge, .insert)
            return
        }
        for field in fields {
            switch field.key {
            case "into", "on", "let", "whenMatched", "whenNotMatched": continue
            default: throw ServerError(.unknownField, "BSON field '$merge.\(field.key.string)' is an unknown field.")
            }
        }
        guard let into = fields["into"] else { throw OutputStage.missing("$merge.into") }
        target = try MergeSpecification.target(into, database)
        on = try MergeSpecification.on(fields["on"])
        matched = try MergeSpecification.matched(fields["whenMatched"])
        variables = try MergeSpecification.variables(fields["let"], matched)
        let rest = try MergeSpecification.text("whenNotMatched", fields["whenNotMatched"]) ?? "insert"
        guard let notMatched = NotMatched(rawValue: rest) else {
            throw ServerError(
                .badValue, "Enumeration value '\(rest)' for field '$merge.whenNotMatched' is not a valid value.")
        }
        self.notMatched = notMatched
        switch (matched, notMatched) {
        case (.keepExisting, .insert), (.fail, .insert), (.replace, _), (.merge, _), (.pipeline, _): break
        default:
            throw ServerError(
                ErrorCode(rawValue: 51181),
                "Combination of $merge modes 'whenMatched: \(matched)' and 'whenNotMatched: \(notMatched.rawValue)' "
                    + "is not supported")
        }
    }

    private static func target(_ into: ValueView, _ database: String) throws(ServerError) -> Namespace {
        if let name = into.asString { return try target(database, name) }
        guard let document = into.asDocument else {
            throw ServerError(
                ErrorCode(rawValue: 51178),
                "$merge 'into' field must be either a string or an object, but found \(into.type.operatorName)")
        }
        let names = try OutputStage.names("$merge.into", document)
        guard let name = names.collection else {
            throw ServerError(
                ErrorCode(rawValue: 5_786_801),
                "$merge 'into' field must specify a 'coll' that is not empty, null or undefined")
        }
        let other = names.database.flatMap { $0.isEmpty ? nil : $0 }
        return try target(other ?? database, name)
    }

    private static func target(_ database: String, _ collection: String) throws(ServerError) -> Namespace {
        guard !collection.isEmpty else {
            throw ServerError(
                ErrorCode(rawValue: 5_786_800), "Empty string is not a valid collection for $merge 'into'")
        }
        let namespace = try Namespace(validating: database, collection: collection)
        guard !namespace.isSystem else {
            throw ServerError(
                ErrorCode(rawValue: 31319), "Cannot $merge into special collection: \(collection)")
        }
        guard !["admin", "config", "local"].contains(database) else {
            throw ServerError(
                ErrorCode(rawValue: 31320), "Cannot $merge into internal database: \(database)")
        }
        return namespace
    }

    private static func text(_ field: String, _ value: ValueView?) throws(ServerError) -> String? {
        guard let value, value.type != .null else { return nil }
        guard let text = value.asString else { throw wrongType("$merge.\(field)", value, "string") }
        return text
    }

    /// A field path, as expressions name them.
    private static func checked(_ name: String) throws(ServerError) -> String {
        _ = try NestedField(name)
        return name
    }

    private static func on(_ value: ValueView?) throws(ServerError) -> [String] {
        guard let value else { return ["_id"] }
        if let name = value.asString { return [try checked(name)] }
        guard let list = value.asArray else {
            throw ServerError(
                ErrorCode(rawValue: 51186),
                "$merge 'on' field must be either a string or an array of strings, but found \(value.type)")
        }
        var names: [String] = []
        for element in list {
            guard let name = element.value.asString else {
                throw ServerError(
                    ErrorCode(rawValue: 51134),
                    "$merge 'on' array elements must be strings, but found \(element.value.type)")
            }
            guard !names.contains(name) else {
                throw ServerError(ErrorCode(rawValue: 31465), "Found a duplicate field '\(name)' in $merge 'on'")
            }
            names.append(try checked(name))
        }
        guard !names.isEmpty else {
            throw ServerError(
                ErrorCode(rawValue: 51187), "If explicitly specifying $merge 'on', must include at least one field")
        }
        return names
    }

    private static func variables(_ value: ValueView?, _ matched: Matched) throws(ServerError) -> Document {
        guard let value, value.type != .null else { return Document() }
        guard let variables = value.asDocument else { throw wrongType("$merge.let", value, "object") }
        guard case .pipeline = matched else {
            throw ServerError(
                ErrorCode(rawValue: 51199), "Cannot use 'let' variables with 'whenMatched: \(matched)' mode")
        }
        if let new = variables["new"], new.asString != "$$ROOT" {
            throw ServerError(
                ErrorCode(rawValue: 51273),
                "'let' may not define a value for the reserved 'new' variable other than '$$ROOT'")
        }
        return variables.document
    }

    private static func matched(_ value: ValueView?) throws(ServerError) -> Matched {
        guard let value else { return .merge }
        if let stages = value.asArray { return .pipeline(stages.document) }
        guard value.type == .string else {
            throw ServerError(
                ErrorCode(rawValue: 51191),
                "$merge 'whenMatched' field must be either a string or an array, but found "
                    + value.type.operatorName)
        }
        switch value.asString {
        case "replace": return .replace
        case "keepExisting": return .keepExisting
        case "merge": return .merge
        case "fail": return .fail
        default:
            throw ServerError(
                .badValue, "'$merge.whenMatched' is none of replace, keepExisting, merge, fail or a pipeline")
        }
    }
}
