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
        case "$out": self = .out(try OutputStage.namespace("$out", stage.value, database))
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
    static func namespace(_ stage: String, _ value: ValueView, _ database: String) throws(ServerError) -> Namespace {
        if let name = value.asString { return try Namespace(validating: database, collection: name) }
        guard let document = value.asDocument, let name = document["coll"]?.asString else {
            throw ServerError(.failedToParse, "\(stage) needs a collection: a string, or {db, coll}")
        }
        for field in document where !(field.key == "db") && !(field.key == "coll") {
            throw ServerError(.unknownField, "BSON field '\(stage).\(field.key.string)' is an unknown field.")
        }
        return try Namespace(validating: document["db"]?.asString ?? database, collection: name)
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
            target = try OutputStage.namespace("$merge", value, database)
            (on, variables, matched, notMatched) = (["_id"], Document(), .merge, .insert)
            return
        }
        for field in fields {
            switch field.key {
            case "into", "on", "let", "whenMatched", "whenNotMatched": continue
            default: throw ServerError(.unknownField, "BSON field '$merge.\(field.key.string)' is an unknown field.")
            }
        }
        guard let into = fields["into"] else {
            throw ServerError(.missingField, "BSON field '$merge.into' is missing but a required field")
        }
        target = try OutputStage.namespace("$merge", into, database)
        on = try MergeSpecification.on(fields["on"])
        matched = try MergeSpecification.matched(fields["whenMatched"])
        variables = try MergeSpecification.variables(fields["let"], matched)
        let rest = fields["whenNotMatched"]?.asString ?? "insert"
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

    private static func on(_ value: ValueView?) throws(ServerError) -> [String] {
        guard let value, value.type != .null else { return ["_id"] }
        if let name = value.asString { return [name] }
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
            names.append(name)
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
