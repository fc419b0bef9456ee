import BSON
import Core

/// A compiled `$jsonSchema`: rules that a value must all keep. A rule that is about another type of value holds.
final class JSONSchema {
    let title: String?
    let description: String?
    private let rules: [any SchemaRule]

    init(title: String?, description: String?, rules: [any SchemaRule]) {
        self.title = title
        self.description = description
        self.rules = rules
    }

    func matches(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool {
        try match.first(of: rules.count) { (index, match) throws(ServerError) in
            try !rules[index].holds(value, &match)
        } == nil
    }

    /// What matching one document may take.
    var weight: MatchWeight { rules.reduce(.one) { $0 + $1.weight } }

    /// What `errInfo` says of the rules that `value` does not keep.
    func unsatisfied(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> [Document] {
        var explanations = Explanations()
        for rule in rules where try !rule.holds(value, &match) {
            try explanations.append(try rule.explain(value, &match))
        }
        return explanations.entries
    }

    /// Begins an entry of `errInfo` about this schema: its title and description behind `fields`, then its rules.
    func entry(
        _ fields: Document, _ value: ValueView, _ match: inout MatchDetails
    ) throws(ServerError) -> Document {
        var entry = fields
        if let title { entry.append("title", .string(title)) }
        if let description { entry.append("description", .string(description)) }
        entry.append("details", .documents(try unsatisfied(value, &match)))
        return entry
    }
}

/// One keyword of a schema and its argument. Not a plug point: a closed family.
protocol SchemaRule {
    /// What asking whether a value keeps the rule may take.
    var weight: MatchWeight { get }
    /// Whether `value` keeps the rule.
    func holds(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Bool
    /// What `errInfo` says of a value that does not keep it.
    func explain(_ value: ValueView, _ match: inout MatchDetails) throws(ServerError) -> Document
}

extension SchemaRule {
    var weight: MatchWeight { .one }
}

/// `$jsonSchema` as a condition on a document.
final class SchemaMatchNode: MatchNode {
    let schema: JSONSchema
    private let source: Value

    init(_ value: ValueView) throws(ServerError) {
        guard let document = value.asDocument else {
            throw ServerError(.typeMismatch, "$jsonSchema must be an object")
        }
        schema = try JSONSchemaParser.parse(document)
        source = Value(value)
    }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        try schema.matches(ValueView(document), &details)
    }
    override var weight: MatchWeight { schema.weight }
    override func describe() -> Document { ["$jsonSchema": source] }
}

extension ValueView {
    /// A document as a value.
    init(_ document: DocumentView) {
        self.init(type: .document, pointer: document.base, byteCount: document.byteCount)
    }
}

extension Value {
    static func documents(_ documents: [Document]) -> Value { .array(documents.map { .document($0) }) }
    static func strings(_ strings: [String]) -> Value { .array(strings.map { .string($0) }) }
}

extension [JSONSchema] {
    var weight: MatchWeight { reduce(.one) { $0 + $1.weight } }
}
