public import BSON
public import Core

/// A view: a name under which clients read what a pipeline makes of a collection, or of another view.
///
/// It is kept as a document of `system.views` of its database, `{_id: <full name>, viewOn, pipeline}`, which is a
/// collection like any other: replicated, cloned, rolled back and read in the past as they all are.
public struct ViewDefinition: Hashable, Sendable {
    public let namespace: Namespace
    /// The collection or view that it reads, of the same database.
    public internal(set) var viewOn: String
    /// Its stages, an array.
    public internal(set) var pipeline: Document

    /// Where the views of a database are kept.
    static func place(of database: String) -> Namespace { Namespace(database, "system.views") }

    var source: Namespace { Namespace(namespace.database, viewOn) }

    init(_ namespace: Namespace, viewOn: String, pipeline: Document) {
        self.namespace = namespace
        self.viewOn = viewOn
        self.pipeline = pipeline
    }

    init(stored: DocumentView) throws {
        guard let name = stored["_id"]?.asString, let namespace = Namespace(fullName: name),
            let viewOn = stored["viewOn"]?.asString, let pipeline = stored["pipeline"]?.asArray
        else { throw InvariantViolation("a stored view is not readable") }
        self.init(namespace, viewOn: viewOn, pipeline: pipeline.document)
    }

    var stored: Document {
        Document { writer in
            writer.append("_id", string: namespace.fullName)
            write(to: writer)
        }
    }

    /// Writes the view's options as `listCollections` shows them.
    public func write(to writer: DocumentWriter) {
        writer.append("viewOn", string: viewOn)
        writer.append("pipeline" as String, .array(pipeline))
    }

    // MARK: Commands

    /// What a `create` or `collMod` says of a view; nil for a field that it does not mention.
    static func fields(_ command: DocumentView) throws(ServerError) -> (viewOn: String?, pipeline: Document?) {
        let name = command.first?.key.string ?? "create"
        var viewOn: String?
        var pipeline: Document?
        if let value = command["viewOn"], value.type != .null {
            guard let text = value.asString else { throw wrongType("\(name).viewOn", value, "string") }
            guard !text.isEmpty else {
                throw ServerError(.badValue, "'viewOn' cannot be empty")
            }
            viewOn = text
        }
        if let value = command["pipeline"], value.type != .null {
            guard let array = value.asArray else { throw wrongType("\(name).pipeline", value, "array") }
            var stages: [Value] = []
            for element in array where element.value.type != .null {
                guard element.value.type == .document else {
                    throw wrongType("\(name).pipeline.\(element.key.string)", element.value, "object")
                }
                stages.append(Value(element.value))
            }
            pipeline = Document(array: stages)
        }
        return (viewOn, pipeline)
    }

    private static func wrongType(_ field: String, _ value: ValueView, _ wanted: String) -> ServerError {
        ServerError(
            .typeMismatch,
            "BSON field '\(field)' is the wrong type '\(value.type.operatorName)', expected type '\(wanted)'")
    }

    // MARK: What it reads

    /// The collections and views that it reads, those of stages in its pipeline too.
    var dependencies: [Namespace] {
        var names = [viewOn]
        ViewDefinition.collect(pipeline, &names)
        return names.map { Namespace(namespace.database, $0) }
    }

    private static func collect(_ pipeline: Document, _ names: inout [String]) {
        for (_, stage) in pipeline.fields {
            guard let (name, argument) = stage.asDocument?.fields.first else { continue }
            switch name {
            case "$lookup", "$graphLookup", "$unionWith":
                if let text = argument.asString { names.append(text) }
                guard let fields = argument.asDocument else { continue }
                if let text = (fields["from"] ?? fields["coll"])?.asString { names.append(text) }
                if let nested = fields["pipeline"]?.asArray { collect(Document(array: nested), &names) }
            case "$facet":
                for (_, nested) in argument.asDocument?.fields ?? [] {
                    if let stages = nested.asArray { collect(Document(array: stages), &names) }
                }
            default: continue
            }
        }
    }
}
