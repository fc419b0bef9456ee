import BSON
import Core

/// Carries out a delta.
enum DiffApplication {
    /// The fields of one section by name.
    private struct Section {
        private let document: DocumentView?
        /// For sections of many fields, where walking for each name would take too long.
        private var index: [[UInt8]: ValueView]?

        init(_ document: DocumentView?) {
            self.document = document
            guard let document, document.fieldCount > 16 else { return }
            var index: [[UInt8]: ValueView] = [:]
            for element in document { index[Array(element.key.bytes)] = element.value }
            self.index = index
        }

        init() { self.init(nil) }

        func find(_ key: KeyView) -> ValueView? {
            if let index { return index[Array(key.bytes)] }
            return document?.find(key.base, count: key.count)
        }
    }

    private static func malformed(_ what: String) -> ServerError {
        ServerError(.failedToParse, "malformed $v: 2 delta: \(what)")
    }

    private static func depthChecked(_ depth: Int) throws(ServerError) {
        guard depth <= Limits.documentDepthMax else { throw malformed("it nests too deep") }
    }

    /// Appends the fields that `diff` makes of those of `document`.
    static func document(
        _ diff: DocumentView, to document: DocumentView, into writer: DocumentWriter, depth: Int = 0
    ) throws(ServerError) {
        try depthChecked(depth)
        var removed = Section()
        var changed = Section()
        var added = Section()
        var addedFields: DocumentView?
        for element in diff {
            guard let section = element.value.asDocument else { throw malformed("a section is no document") }
            switch element.key {
            case "d": removed = Section(section)
            case "u": changed = Section(section)
            case "i":
                added = Section(section)
                addedFields = section
            default:
                guard element.key.bytes.first == UInt8(ascii: "s") else {
                    throw malformed("unknown section '\(element.key.string)'")
                }
            }
        }
        let nested = nestedSections(diff)
        for element in document {
            if removed.find(element.key) != nil || added.find(element.key) != nil { continue }
            if let value = changed.find(element.key) {
                writer.append(element.key, value)
            } else if let inner = nested(element.key) {
                try value(inner, to: element.value, element.key.bytes, into: writer, depth: depth)
            } else {
                writer.append(element.key, element.value)
            }
        }
        if let addedFields { for element in addedFields { writer.append(element.key, element.value) } }
    }

    /// Finds the delta of a field: it is called `s` and the field's name.
    private static func nestedSections(_ diff: DocumentView) -> (KeyView) -> DocumentView? {
        var sections: [(key: KeyView, diff: DocumentView)] = []
        for element in diff where element.key.bytes.first == UInt8(ascii: "s") {
            let name = KeyView(base: element.key.base + 1, count: element.key.count - 1)
            if let inner = element.value.asDocument { sections.append((name, inner)) }
        }
        guard sections.count > 16 else { return { key in sections.first { $0.key == key }?.diff } }
        let index = Dictionary(sections.map { (Array($0.key.bytes), $0.diff) }) { first, _ in first }
        return { key in index[Array(key.bytes)] }
    }

    private static func value(
        _ diff: DocumentView, to value: ValueView, _ name: UnsafeRawBufferPointer, into writer: DocumentWriter,
        depth: Int
    ) throws(ServerError) {
        let isArrayDiff = diff.first.map { $0.key == "a" } ?? false
        switch value.type {
        case .document where !isArrayDiff:
            let nested = writer.begin(.document, name)
            try document(diff, to: DocumentView(base: value.pointer), into: nested, depth: depth + 1)
            nested.finish()
        case .array where isArrayDiff:
            let nested = writer.begin(.array, name)
            try array(diff, to: DocumentView(base: value.pointer), into: nested, depth: depth + 1)
            nested.finish()
        default: writer.append(KeyView(base: name.start, count: name.count), value)
        }
    }

    private enum ElementChange {
        case value(ValueView)
        case nested(DocumentView)
    }

    private static func array(
        _ diff: DocumentView, to array: DocumentView, into writer: DocumentWriter, depth: Int
    ) throws(ServerError) {
        try depthChecked(depth)
        var changes: [Int: ElementChange] = [:]
        var newLength: Int?
        var last = -1
        for element in diff {
            switch element.key {
            case "a": continue
            case "l":
                guard let length = element.value.asInteger, length >= 0, length <= Limits.documentBytesMax else {
                    throw malformed("a bad array length")
                }
                newLength = Int(length)
            default:
                let index = arrayIndex(Array(element.key.bytes.dropFirst()))
                guard let index, index <= Limits.documentBytesMax / 7 else {
                    throw malformed("unknown field '\(element.key.string)' of an array's delta")
                }
                switch element.key.bytes.first {
                case UInt8(ascii: "u"):
                    changes[index] = .value(element.value)
                    last = max(last, index)
                case UInt8(ascii: "s"):
                    guard let inner = element.value.asDocument else { throw malformed("a section is no document") }
                    changes[index] = .nested(inner)
                default: throw malformed("unknown field '\(element.key.string)' of an array's delta")
                }
            }
        }
        var index = 0
        for element in array {
            if let newLength, index >= newLength { break }
            let key = String(index)
            switch changes[index] {
            case .value(let changed): writer.append(key, changed)
            case .nested(let inner):
                try Array(key.utf8).withName { (name) throws(ServerError) in
                    try value(inner, to: element.value, name, into: writer, depth: depth)
                }
            case nil: writer.append(key, element.value)
            }
            index += 1
        }
        // New elements; an index that nothing sets is null.
        while index <= last, newLength.map({ index < $0 }) ?? true {
            if case .value(let changed) = changes[index] {
                writer.append(String(index), changed)
            } else {
                writer.append(String(index), .null)
            }
            index += 1
        }
    }
}
