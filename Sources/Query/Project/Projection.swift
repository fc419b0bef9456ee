public import BSON
public import Core

/// A compiled projection of find and findAndModify: fields to keep or to leave out, `$slice`, `$elemMatch`, `field.$`
/// and expressions.
///
/// Fields keep the document's order; `$elemMatch` and computed fields come behind them, in the projection's order. A
/// computed `_id` stays in its place.
public final class Projection {
    let root: ProjectionNode
    /// Whether fields that are not named are left out.
    public let isInclusion: Bool
    /// Whether `apply` needs the position at which the filter matched an array (`field.$`).
    public let needsPosition: Bool
    /// Whether only top-level fields are kept or left out: `PROJECTION_SIMPLE` of explain.
    public let isSimple: Bool
    /// The projection as it was written.
    public let source: Document

    /// Compiles a projection. Throws 31253 and 31254 for a mix of inclusion and exclusion, 31249 and 31250 for paths
    /// that meet, and MongoDB's other codes.
    public convenience init(_ document: DocumentView, context: QueryContext) throws(ServerError) {
        try self.init(document, context: context, isStage: false)
    }

    /// - Parameter isStage: whether this is `$project`, which has no `$slice` and `$elemMatch` of its own.
    init(_ document: DocumentView, context: QueryContext, isStage: Bool) throws(ServerError) {
        var parser = ProjectionParser(context: context, isStage: isStage)
        try parser.parse(document)
        root = parser.root
        isInclusion = parser.isInclusion
        needsPosition = parser.hasPositional
        isSimple = parser.isSimple
        source = document.document
    }

    /// Whether every document is left as it is.
    public var isEmpty: Bool { root.entries.isEmpty && !isInclusion }

    /// Appends the projected document to `buffer`. `position` is what `Filter.matches(_:position:)` reported.
    ///
    /// Throws 51246 for `field.$` without a position; on an error `buffer` is as before.
    public func apply(_ document: DocumentView, position: Int? = nil, to buffer: ByteBuffer) throws(ServerError) {
        let start = buffer.count
        do {
            let writer = DocumentWriter(startingIn: buffer)
            try appendFields(document, position: position, to: writer)
            writer.finish()
        } catch {
            buffer.truncate(to: start)
            throw error
        }
    }

    /// The same into a document that was started elsewhere, an array's element for example.
    public func appendFields(
        _ document: DocumentView, position: Int? = nil, to writer: DocumentWriter
    ) throws(ServerError) {
        var run = Run(root: document, position: position, isInclusion: isInclusion, buffer: writer.buffer)
        try run.document(document, root)
    }

    /// One application: what the walk over one document needs.
    private struct Run {
        let root: DocumentView
        let position: Int?
        let isInclusion: Bool
        let buffer: ByteBuffer
        /// Whether `field.$` has chosen its element; arrays below it stay whole.
        var hasChosen = false

        mutating func document(_ document: DocumentView, _ node: ProjectionNode) throws(ServerError) {
            for element in document {
                guard let entry = node.entry(element.key) else {
                    if !isInclusion { copy(element) }
                    continue
                }
                switch entry.action {
                case .include: copy(element)
                case .computed(let expression) where entry.isID: try computed(entry.key, expression)
                case .exclude, .elementMatch, .computed: break
                case .nested(let nested): try value(element.value, nested, key: element.key)
                case .slice(let slice): self.slice(element, slice)
                }
            }
            for entry in node.entries {
                switch entry.action {
                case .elementMatch(let filter): try elementMatch(document, entry, filter)
                case .computed(let expression) where !entry.isID || !has(document, entry):
                    try computed(entry.key, expression)
                case .nested(let nested) where nested.hasComputed && !has(document, entry):
                    try computedOnly(nested, key: entry.key)
                default: break
                }
            }
        }

        private func has(_ document: DocumentView, _ entry: ProjectionNode.Entry) -> Bool {
            document.find(entry.key.base, count: entry.key.count) != nil
        }

        private func copy(_ element: DocumentView.Element) {
            ElementHeader.append(element.value.type, element.key, to: buffer)
            buffer.append(element.value.pointer, count: element.value.byteCount)
        }

        private mutating func value(_ value: ValueView, _ node: ProjectionNode, key: KeyView) throws(ServerError) {
            if node.isPositional, node.entries.isEmpty, hasChosen || value.type != .array {
                return copy(DocumentView.Element(key: key, value: value))
            }
            switch value.type {
            case .document:
                ElementHeader.append(.document, key, to: buffer)
                try nested(DocumentView(base: value.pointer), node)
            case .array:
                ElementHeader.append(.array, key, to: buffer)
                try array(DocumentView(base: value.pointer), node, mayChoose: true)
            default:
                if node.hasComputed {
                    try computedOnly(node, key: key)
                } else if !isInclusion {
                    copy(DocumentView.Element(key: key, value: value))
                }
            }
        }

        private mutating func nested(_ document: DocumentView, _ node: ProjectionNode) throws(ServerError) {
            let writer = DocumentWriter(startingIn: buffer)
            try self.document(document, node)
            writer.finish()
        }

        private mutating func array(_ array: DocumentView, _ node: ProjectionNode, mayChoose: Bool) throws(ServerError)
        {
            let writer = DocumentWriter(startingIn: buffer)
            if node.isPositional, mayChoose, !hasChosen {
                try positional(array, node)
            } else {
                var count = 0
                for element in array { try append(element.value, node, &count) }
            }
            writer.finish()
        }

        /// The one element that the filter matched.
        private mutating func positional(_ array: DocumentView, _ node: ProjectionNode) throws(ServerError) {
            var index = 0
            var count = 0
            for element in array {
                if index == position {
                    hasChosen = true
                    if node.entries.isEmpty {
                        ElementHeader.append(element.value, index: 0, to: buffer)
                    } else {
                        try append(element.value, node, &count)
                    }
                    return
                }
                index += 1
            }
            throw ServerError(
                ErrorCode(rawValue: 51246),
                "Executor error during find command :: caused by :: positional operator '.$' couldn't find a matching "
                    + "element in the array")
        }

        private mutating func append(_ value: ValueView, _ node: ProjectionNode, _ count: inout Int) throws(ServerError)
        {
            switch value.type {
            case .document:
                ElementHeader.append(.document, index: count, to: buffer)
                try nested(DocumentView(base: value.pointer), node)
            case .array:
                ElementHeader.append(.array, index: count, to: buffer)
                try array(DocumentView(base: value.pointer), node, mayChoose: false)
            default:
                if node.hasComputed {
                    ElementHeader.append(.document, index: count, to: buffer)
                    try computedDocument(node)
                } else if isInclusion {
                    return
                } else {
                    ElementHeader.append(value, index: count, to: buffer)
                }
            }
            count += 1
        }

        private func slice(_ element: DocumentView.Element, _ slice: ProjectionSlice) {
            guard let array = element.value.asArray else { return copy(element) }
            ElementHeader.append(.array, element.key, to: buffer)
            let writer = DocumentWriter(startingIn: buffer)
            let range = slice.range(count: array.fieldCount)
            var index = 0
            for item in array {
                if range.contains(index) {
                    ElementHeader.append(item.value, index: index - range.lowerBound, to: buffer)
                }
                index += 1
            }
            writer.finish()
        }

        private func elementMatch(
            _ document: DocumentView, _ entry: ProjectionNode.Entry, _ filter: Filter
        ) throws(ServerError) {
            guard let array = document.find(entry.key.base, count: entry.key.count)?.asArray else { return }
            for element in array where try filter.matchesElement(element.value) {
                ElementHeader.append(.array, entry.key, to: buffer)
                let writer = DocumentWriter(startingIn: buffer)
                ElementHeader.append(element.value, index: 0, to: buffer)
                writer.finish()
                return
            }
        }

        private func computed(_ key: KeyView, _ expression: Expression) throws(ServerError) {
            guard let value = try expression.evaluate(root: root) else { return }
            let one = Document { $0.append("", value) }
            one.withView { view in
                guard let value = view.first?.value else { return }
                ElementHeader.append(value.type, key, to: buffer)
                buffer.append(value.pointer, count: value.byteCount)
            }
        }

        private func computedOnly(_ node: ProjectionNode, key: KeyView) throws(ServerError) {
            ElementHeader.append(.document, key, to: buffer)
            try computedDocument(node)
        }

        private func computedDocument(_ node: ProjectionNode) throws(ServerError) {
            let writer = DocumentWriter(startingIn: buffer)
            for entry in node.entries {
                switch entry.action {
                case .computed(let expression): try computed(entry.key, expression)
                case .nested(let nested) where nested.hasComputed: try computedOnly(nested, key: entry.key)
                default: break
                }
            }
            writer.finish()
        }
    }
}
