public import BSON
import Core

/// A dotted field path, split once: matching, sorting and indexing compare bytes and allocate nothing.
public final class CompiledPath {
    /// One name of the path, in place.
    struct Part {
        let base: UnsafeRawPointer
        let count: Int
        /// The array index that the name also means, or -1 for a name that is not one.
        let index: Int
    }

    /// The whole path, with dots.
    public let string: String
    /// The number of names; at least one.
    public let count: Int
    let parts: UnsafeMutablePointer<Part>

    /// Splits `string` at its dots. Empty names are kept: they match fields with an empty name.
    public init(_ string: String) {
        self.string = string
        var text = string
        (count, parts) = text.withUTF8 { utf8 in
            let count = utf8.reduce(1) { $0 + ($1 == UInt8(ascii: ".") ? 1 : 0) }
            // The names lie behind the parts.
            let partBytes = MemoryLayout<Part>.stride * count
            let memory = CMemory.allocate(partBytes + utf8.count)
            let parts = memory.bindMemory(to: Part.self, capacity: count)
            let names = memory + partBytes
            if let base = utf8.baseAddress { names.copyMemory(from: base, byteCount: utf8.count) }
            var start = 0
            var at = 0
            for offset in 0...utf8.count where offset == utf8.count || utf8[offset] == UInt8(ascii: ".") {
                let name = UnsafeRawBufferPointer(start: names + start, count: offset - start)
                let part = Part(
                    base: UnsafeRawPointer(names + start), count: name.count, index: CompiledPath.arrayIndex(name))
                (parts + at).initialize(to: part)
                at += 1
                start = offset + 1
            }
            return (count, parts)
        }
    }

    /// The path of a query. Throws 15 for one with more names than any document has levels.
    static func checked(_ string: String) throws(ServerError) -> CompiledPath {
        let dots = string.utf8.reduce(0) { $0 + ($1 == UInt8(ascii: ".") ? 1 : 0) }
        guard dots < Limits.fieldPathPartsMax else { throw ServerError(.overflow, "FieldPath is too long") }
        return CompiledPath(string)
    }

    deinit {
        parts.deinitialize(count: count)
        CMemory.free(parts)
    }

    /// The index that a name means inside an array: decimal digits without leading zeros.
    private static func arrayIndex(_ name: UnsafeRawBufferPointer) -> Int {
        guard let first = name.first, name.count <= 9, first != UInt8(ascii: "0") || name.count == 1 else { return -1 }
        var index = 0
        for byte in name {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return -1 }
            index = index * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return index
    }

    /// Whether a name of the path could be an array index.
    var hasNumericPart: Bool { (0..<count).contains { parts[$0].index >= 0 } }

    /// The names as strings.
    var names: [String] {
        (0..<count).map {
            String(decoding: UnsafeRawBufferPointer(start: parts[$0].base, count: parts[$0].count), as: UTF8.self)
        }
    }

    /// Calls `body` with every value that MongoDB's match rules find at the path: arrays on the way are searched, an
    /// array at the end counts as each of its elements and then as itself when `expandsLeaf` is set. nil stands for a
    /// missing field. Stops and returns true when `body` does.
    public func visit(
        _ document: DocumentView, expandsLeaf: Bool = true, _ body: (ValueView?) -> Bool
    ) -> Bool {
        enter(document, 0, expandsLeaf, body)
    }

    private func enter(_ document: DocumentView, _ part: Int, _ expandsLeaf: Bool, _ body: (ValueView?) -> Bool) -> Bool
    {
        guard let value = document.find(parts[part].base, count: parts[part].count) else { return body(nil) }
        return descend(value, part + 1, expandsLeaf, body)
    }

    private func descend(_ value: ValueView, _ part: Int, _ expandsLeaf: Bool, _ body: (ValueView?) -> Bool) -> Bool {
        if part == count {
            if expandsLeaf, let array = value.asArray {
                for element in array where body(element.value) { return true }
            }
            return body(value)
        }
        if let document = value.asDocument { return enter(document, part, expandsLeaf, body) }
        guard let array = value.asArray else { return body(nil) }
        var index = 0
        for element in array {
            if let document = element.value.asDocument, enter(document, part, expandsLeaf, body) { return true }
            if index == parts[part].index, descend(element.value, part + 1, expandsLeaf, body) { return true }
            index += 1
        }
        return false
    }
}
