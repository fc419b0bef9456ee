import BSON
import Core

/// `$set`, `$addFields`: computed fields replace those of their name or come behind the others.
final class FieldAdditions: DocumentTransform {
    private final class Node {
        enum Action {
            case computed(Expression)
            /// A value that whoever applies the additions gives, by its place among them.
            case given(Int)
            case nested(Node)
        }
        var children = NamedList<Action>()
    }

    private let root = Node()

    init(_ name: String, _ argument: ValueView, context: QueryContext) throws(ServerError) {
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 40272, "\(name) specification stage must be an object, got \(argument.type.operatorName)")
        }
        guard !document.isEmpty else {
            throw ServerError(
                location: 40177, "Invalid \(name) :: caused by :: specification must have at least one field")
        }
        do throws(ServerError) {
            for element in document { try add(element, prefix: "", context) }
        } catch {
            throw ServerError(error.code, "Invalid \(name) :: caused by :: \(error.message)")
        }
    }

    /// Sets the fields at `paths` to values that come with each document.
    init(paths: [String]) throws(ServerError) {
        for (index, path) in paths.enumerated() {
            try add(path) { () throws(ServerError) in .given(index) }
        }
    }

    private func add(_ element: DocumentView.Element, prefix: String, _ context: QueryContext) throws(ServerError) {
        let path = prefix + element.key.string
        if !prefix.isEmpty, element.key.string.utf8.contains(UInt8(ascii: ".")) {
            throw ServerError(
                location: 40183,
                "cannot use dotted field name '\(element.key.string)' in a sub object: \(prefix.dropLast())")
        }
        if let document = element.value.asDocument, let first = document.first {
            guard !first.key.isOperator || document.fieldCount == 1 else {
                throw ServerError(
                    location: 40181,
                    "an expression specification must contain exactly one field, the name of the expression. Found "
                        + "\(document.fieldCount) fields, while parsing \(path)")
            }
        }
        if let document = element.value.asDocument, let first = document.first, !first.key.isOperator {
            for nested in document { try add(nested, prefix: path + ".", context) }
            return
        }
        try add(path) { () throws(ServerError) in .computed(try Expression(element.value, context: context)) }
    }

    private func add(_ path: String, _ action: () throws(ServerError) -> Node.Action) throws(ServerError) {
        let names = try ExpressionPath(path).components
        var node = root
        for (index, name) in names.enumerated() {
            let isLast = index + 1 == names.count
            guard let at = node.children.index(name) else {
                if isLast {
                    node.children.append(name, try action())
                } else {
                    let next = Node()
                    node.children.append(name, .nested(next))
                    node = next
                }
                continue
            }
            guard case .nested(let next) = node.children[at], !isLast else {
                throw ServerError(
                    location: 40176,
                    "specification contains two conflicting paths. Cannot specify both '\(path)' and one that "
                        + "overlaps it"
                )
            }
            node = next
        }
    }

    func apply(_ document: DocumentView, to buffer: ByteBuffer) throws(ServerError) {
        try apply(document, [], to: buffer)
    }

    /// Appends the document with the given values; nil leaves a field away.
    func apply(_ document: DocumentView, _ values: [Value?], to buffer: ByteBuffer) throws(ServerError) {
        let writer = DocumentWriter(startingIn: buffer)
        try write(root, of: document, Input(document: document, values: values), to: writer)
        writer.finish()
    }

    private struct Input {
        let document: DocumentView
        let values: [Value?]
    }

    private func write(
        _ node: Node, of existing: DocumentView?, _ input: Input, to writer: DocumentWriter
    ) throws(ServerError) {
        var isDone = [Bool](repeating: false, count: node.children.count)
        if let existing {
            for element in existing {
                guard let index = node.children.index(element.key), !isDone[index] else {
                    writer.append(element.key, element.value)
                    continue
                }
                isDone[index] = true
                try write(node.children[index], element.key.bytes, element.value, input, to: writer)
            }
        }
        for (index, child) in node.children.items.enumerated() where !isDone[index] {
            try child.name.withName { (name) throws(ServerError) in
                try write(child.element, name, nil, input, to: writer)
            }
        }
    }

    private func write(
        _ action: Node.Action, _ name: UnsafeRawBufferPointer, _ existing: ValueView?, _ input: Input,
        to writer: DocumentWriter
    ) throws(ServerError) {
        switch action {
        case .computed(let expression):
            guard let value = try expression.evaluate(root: input.document) else { return }
            writer.append(KeyView(base: name.start, count: name.count), value)
        case .given(let index):
            guard index < input.values.count, let value = input.values[index] else { return }
            writer.append(KeyView(base: name.start, count: name.count), value)
        case .nested(let node):
            if let array = existing?.asArray {
                let nested = writer.begin(.array, name)
                for element in array { try write(action, element.key.bytes, element.value, input, to: nested) }
                nested.finish()
            } else {
                let nested = writer.begin(.document, name)
                try write(node, of: existing?.asDocument, input, to: nested)
                nested.finish()
            }
        }
    }
}
