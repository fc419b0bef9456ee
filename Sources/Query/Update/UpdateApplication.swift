import BSON
import Core

/// One run of an update's modifiers over one document: copies what no modifier names, and writes the rest anew.
struct UpdateApplication {
    let document: DocumentView
    let position: Int?
    let arrayFilters: [String: Filter]
    let verdicts: ElementVerdicts?

    /// Writes the fields of `existing` as `node` changes them, then the new fields.
    func writeFields(_ node: UpdateNode, of existing: DocumentView?, to writer: DocumentWriter) throws(ServerError) {
        let node = try node.resolvingPositional(position)
        var isDone = [Bool](repeating: false, count: node.children.count)
        if let existing {
            for element in existing {
                // Of fields with the same name the first is meant.
                guard let index = node.children.index(element.key), !isDone[index] else {
                    writer.append(element.key, element.value)
                    continue
                }
                isDone[index] = true
                try write(node.children[index], element.key.bytes, element.value, to: writer)
            }
        }
        guard isDone.contains(false) else { return }
        for index in node.creationOrder where !isDone[index] {
            try node.children.items[index].name.withName { (name) throws(ServerError) in
                _ = try create(node.children[index], name, to: writer)
            }
        }
    }

    /// Writes one existing value as `node` changes it.
    private func write(
        _ node: UpdateNode, _ name: UnsafeRawBufferPointer, _ value: ValueView, to writer: DocumentWriter
    ) throws(ServerError) {
        switch node.kind {
        case .leaf(let modifier):
            try writeResult(try modifier.apply(to: value, in: document), name, value, to: writer)
        case .elements:
            guard let array = value.asArray else {
                throw ServerError(
                    .badValue,
                    "Cannot apply array updates to non-array element \(text(name)): \(ValueText.text(value))")
            }
            let nested = writer.begin(.array, name)
            try writeElements(node, of: array, to: nested)
            nested.finish()
        case .fields:
            switch value.type {
            case .document:
                let nested = writer.begin(.document, name)
                try writeFields(node, of: DocumentView(base: value.pointer), to: nested)
                nested.finish()
            case .array:
                let nested = writer.begin(.array, name)
                try writeIndexes(node, of: DocumentView(base: value.pointer), name, to: nested)
                nested.finish()
            default:
                try refuseUnlessIgnored(node, name, value)
                writer.append(KeyView(base: name.start, count: name.count), value)
            }
        }
    }

    private func writeResult(
        _ result: ModifierResult, _ name: UnsafeRawBufferPointer, _ old: ValueView?, to writer: DocumentWriter
    ) throws(ServerError) {
        let key = KeyView(base: name.start, count: name.count)
        switch result {
        case .unchanged: if let old { writer.append(key, old) }
        case .removed: break
        case .value(let value): writer.append(key, value)
        case .view(let value): writer.append(key, value)
        case .appended(let values):
            guard let old, let array = old.asArray else { return }
            let nested = writer.begin(.array, name)
            var count = 0
            for element in array {
                nested.append(element.key, element.value)
                count += 1
            }
            for value in values {
                nested.append(String(count), value)
                count += 1
            }
            nested.finish()
        }
    }

    /// Writes a value that was missing; false when there is still none.
    private func create(
        _ node: UpdateNode, _ name: UnsafeRawBufferPointer, to writer: DocumentWriter
    ) throws(ServerError) -> Bool {
        let mark = writer.buffer.count
        switch node.kind {
        case .leaf(let modifier):
            try writeResult(try modifier.apply(to: nil, in: document), name, nil, to: writer)
            return writer.buffer.count > mark
        case .elements:
            throw ServerError(
                .badValue, "The path '\(text(name))' must exist in the document in order to apply array updates.")
        case .fields:
            let nested = writer.begin(.document, name)
            let start = writer.buffer.count
            try writeFields(node, of: nil, to: nested)
            guard writer.buffer.count > start else {
                writer.buffer.truncate(to: mark)
                return false
            }
            nested.finish()
            return true
        }
    }

    // MARK: Arrays

    /// Array elements by `$[]` and `$[identifier]`.
    private func writeElements(_ node: UpdateNode, of array: DocumentView, to writer: DocumentWriter)
        throws(ServerError)
    {
        let children = node.creationOrder.map {
            (identifier: String(decoding: node.children.items[$0].name, as: UTF8.self), node: node.children[$0])
        }
        for element in array {
            var chosen: [UpdateNode] = []
            for (identifier, child) in children {
                if identifier.isEmpty {
                    chosen.append(child)
                } else if let filter = arrayFilters[identifier] {
                    let isMatch = try verdicts.ask(filter.shortSteps) { () throws(ServerError) in
                        let wrapped = Document { $0.append(identifier, element.value) }
                        return try wrapped.withChecked { (view) throws(ServerError) in try filter.matches(view) }
                    }
                    if isMatch { chosen.append(child) }
                }
            }
            guard !chosen.isEmpty else {
                writer.append(element.key, element.value)
                continue
            }
            try writeElement(try UpdateNode.merge(chosen), element.key.bytes, element.value, to: writer)
        }
    }

    /// Like `write`, but a removed element leaves null: the others keep their indexes.
    private func writeElement(
        _ node: UpdateNode, _ name: UnsafeRawBufferPointer, _ value: ValueView, to writer: DocumentWriter
    ) throws(ServerError) {
        let mark = writer.buffer.count
        try write(node, name, value, to: writer)
        if writer.buffer.count == mark { writer.append(KeyView(base: name.start, count: name.count), .null) }
    }

    /// Array elements by index, padding with null up to a new one.
    private func writeIndexes(
        _ node: UpdateNode, of array: DocumentView, _ name: UnsafeRawBufferPointer, to writer: DocumentWriter
    ) throws(ServerError) {
        let node = try node.resolvingPositional(position)
        var changes: [Int: UpdateNode] = [:]
        for place in node.creationOrder {
            let (childName, child) = node.children.items[place]
            try refuseRename(child, into: name)
            guard let index = arrayIndex(childName) else {
                guard let strict = child.firstStrictModifier(in: document) else { continue }
                throw unreachable(strict, childName, name, "[...]")
            }
            // `0` and `00` are two names and one element.
            if let other = changes[index] {
                changes[index] = try UpdateNode.merge([other, child])
            } else {
                changes[index] = child
            }
        }
        var count = 0
        for element in array {
            if let change = changes[count] {
                try writeElement(change, element.key.bytes, element.value, to: writer)
            } else {
                writer.append(element.key, element.value)
            }
            count += 1
        }
        for (index, change) in changes.sorted(by: { $0.key < $1.key }) where index >= count {
            guard index - count <= Limits.arrayPaddingMax else {
                throw ServerError(
                    location: 15891,
                    "can't backfill more than \(Limits.arrayPaddingMax) elements to array '\(text(name))'")
            }
            let mark = writer.buffer.count
            for filler in count..<index { writer.append(String(filler), .null) }
            let created = try Array(String(index).utf8).withName { (name) throws(ServerError) in
                try create(change, name, to: writer)
            }
            if created { count = index + 1 } else { writer.buffer.truncate(to: mark) }
        }
    }

    // MARK: Errors

    /// A field may not be renamed into an array.
    private func refuseRename(_ node: UpdateNode, into name: UnsafeRawBufferPointer) throws(ServerError) {
        guard let target = try node.firstRename(in: document) else { return }
        throw ServerError(
            .badValue,
            "The destination field cannot be an array element, '\(target.path)' in doc with "
                + "\(target.identity(document)) has an array field called '\(text(name))'")
    }

    private func refuseUnlessIgnored(
        _ node: UpdateNode, _ name: UnsafeRawBufferPointer, _ value: ValueView
    ) throws(ServerError) {
        guard let strict = node.firstStrictModifier(in: document) else { return }
        let child = node.creationOrder.first.map { node.children.items[$0].name }
        throw unreachable(strict, child ?? [], name, ValueText.text(value))
    }

    private func unreachable(
        _ modifier: any UpdateModifier, _ child: [UInt8], _ name: UnsafeRawBufferPointer, _ value: String
    ) -> ServerError {
        let element = "{\(text(name)): \(value)}"
        if modifier is PopModifier || modifier is PullModifier {
            return ServerError(
                .pathNotViable,
                "Cannot use the part (\(String(decoding: child, as: UTF8.self))) of (\(modifier.path)) to traverse the "
                    + "element (\(element))")
        }
        return ServerError(
            .pathNotViable, "Cannot create field '\(String(decoding: child, as: UTF8.self))' in element \(element)")
    }

    private func text(_ name: UnsafeRawBufferPointer) -> String { String(decoding: name, as: UTF8.self) }
}

extension DocumentWriter {
    /// Starts a nested document or array, to be finished by the caller; for code that throws its own error type.
    func begin(_ type: BSONType, _ name: UnsafeRawBufferPointer) -> DocumentWriter {
        buffer.append(byte: type.rawValue)
        buffer.append(name)
        buffer.append(byte: 0)
        return DocumentWriter(startingIn: buffer)
    }
}

extension UnsafeRawBufferPointer {
    /// The first byte's address; some address for no bytes.
    var start: UnsafeRawPointer {
        let empty: StaticString = ""
        return baseAddress ?? UnsafeRawPointer(empty.utf8Start)
    }
}

extension [UInt8] {
    /// Calls `body` with the bytes; what it throws keeps its type.
    func withName<R>(_ body: (UnsafeRawBufferPointer) throws(ServerError) -> R) throws(ServerError) -> R {
        try withUnsafeBytes { name in Result { () throws(ServerError) in try body(name) } }.get()
    }
}
