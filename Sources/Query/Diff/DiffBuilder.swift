import BSON

/// Finds what changed between two documents.
enum DiffBuilder {
    private typealias Element = DocumentView.Element

    /// One field or element that can be changed in part: its name and the delta.
    private struct Nested {
        let key: KeyView
        let diff: ByteBuffer
    }

    /// What the delta of a changed value names.
    private enum Shape {
        /// Parts of it when that is smaller.
        case free
        /// The whole value: an operator set it.
        case whole
        /// Parts: operators reach into it.
        case parts(UpdateNode)
        /// The new elements, when nothing but that changed: an operator pushed them.
        case appended

        init(_ key: KeyView, _ operators: UpdateNode?) {
            guard let node = operators?.reaching(key) else {
                self = .free
                return
            }
            switch node.kind {
            case .leaf(let modifier): self = modifier is PushModifier ? .appended : .whole
            case .fields, .elements: self = .parts(node)
            }
        }

        var operators: UpdateNode? { if case .parts(let node) = self { node } else { nil } }
    }

    /// Appends the sections of the delta between two documents. `operators` are those of the update that made one of
    /// the other, if it had any.
    static func document(
        _ old: DocumentView, _ new: DocumentView, _ operators: UpdateNode? = nil, to writer: DocumentWriter
    ) {
        var removed: [Element] = []
        var changed: [Element] = []
        var nested: [Nested] = []
        var newFields = new.makeIterator()
        var current = newFields.next()
        // Fields of both in the same order pair up; from the first that does not, the rest is removed and added.
        for before in old {
            guard let after = current, after.key == before.key else {
                removed.append(before)
                continue
            }
            current = newFields.next()
            if isEqual(before.value, after.value) { continue }
            if let diff = nestedDiff(before.value, after.value, Shape(after.key, operators)) {
                nested.append(Nested(key: after.key, diff: diff))
            } else {
                changed.append(after)
            }
        }
        var added: [Element] = []
        while let after = current {
            added.append(after)
            current = newFields.next()
        }
        if !removed.isEmpty, !added.isEmpty {
            // There may be as many as a document has fields.
            let names = Set(added.map { [UInt8]($0.key.bytes) })
            removed = removed.filter { !names.contains([UInt8]($0.key.bytes)) }
        }
        writeSections(removed, changed, added, nested, to: writer)
    }

    private static func writeSections(
        _ removed: [Element], _ changed: [Element], _ added: [Element], _ nested: [Nested], to writer: DocumentWriter
    ) {
        if !removed.isEmpty {
            writer.document("d") { section in for field in removed { section.append(field.key, .bool(false)) } }
        }
        if !changed.isEmpty {
            writer.document("u") { section in for field in changed { section.append(field.key, field.value) } }
        }
        if !added.isEmpty {
            writer.document("i") { section in for field in added { section.append(field.key, field.value) } }
        }
        for field in nested { append(field, to: writer) }
    }

    private static func append(_ nested: Nested, to writer: DocumentWriter) {
        writer.buffer.append(byte: BSONType.document.rawValue)
        writer.buffer.append(byte: UInt8(ascii: "s"))
        writer.buffer.append(nested.key.bytes)
        writer.buffer.append(byte: 0)
        writer.buffer.append(nested.diff.bytes)
    }

    /// The delta of a document or array inside; nil when the whole value is to be named.
    private static func nestedDiff(_ old: ValueView, _ new: ValueView, _ shape: Shape) -> ByteBuffer? {
        if case .whole = shape { return nil }
        if case .appended = shape, !isPrefix(old, of: new) { return nil }
        let buffer = ByteBuffer(capacity: 256)
        let writer = DocumentWriter(startingIn: buffer)
        switch (old.type, new.type) {
        case (.document, .document):
            document(
                DocumentView(base: old.pointer), DocumentView(base: new.pointer), shape.operators, to: writer)
        case (.array, .array):
            array(DocumentView(base: old.pointer), DocumentView(base: new.pointer), shape.operators, to: writer)
        default: return nil
        }
        writer.finish()
        if case .free = shape, buffer.count >= new.byteCount { return nil }
        return buffer
    }

    /// Whether an array has all elements of another in front.
    private static func isPrefix(_ old: ValueView, of new: ValueView) -> Bool {
        guard let before = old.asArray, let after = new.asArray else { return false }
        var elements = after.makeIterator()
        for element in before {
            guard let next = elements.next(), isEqual(element.value, next.value) else { return false }
        }
        return true
    }

    private static func array(
        _ old: DocumentView, _ new: DocumentView, _ operators: UpdateNode?, to writer: DocumentWriter
    ) {
        writer.append("a", bool: true)
        let newCount = new.fieldCount
        if newCount < old.fieldCount { writer.append("l", int32: Int32(truncatingIfNeeded: newCount)) }
        var oldElements = old.makeIterator()
        for after in new {
            guard let before = oldElements.next() else {
                writer.append("u" + after.key.string, after.value)
                continue
            }
            if isEqual(before.value, after.value) { continue }
            if let diff = nestedDiff(before.value, after.value, Shape(after.key, operators)) {
                append(Nested(key: after.key, diff: diff), to: writer)
            } else {
                writer.append("u" + after.key.string, after.value)
            }
        }
    }

    private static func isEqual(_ a: ValueView, _ b: ValueView) -> Bool {
        a.type == b.type && a.bytes.isSame(as: b.bytes)
    }
}
