import BSON

/// The four documents, field by field the same as those that scripts/libbson-bench.c builds.
enum BSONSample: String, CaseIterable {
    case small = "small200B"
    case wide = "wide200fields"
    case array = "array64docs"
    case vector = "vector1536d"

    /// The names `field000` … `field199`, eight bytes and a terminator each.
    private nonisolated(unsafe) static let wideNames: ByteBuffer = {
        let names = ByteBuffer()
        for index in 0..<200 {
            let digits = String(index)
            names.append(Array(("field" + String(repeating: "0", count: 3 - digits.utf8.count) + digits + "\0").utf8))
        }
        return names
    }()

    @inline(never) func write(to buffer: ByteBuffer) {
        let writer = DocumentWriter(startingIn: buffer)
        switch self {
        case .small: BSONSample.writeSmall(writer)
        case .wide: BSONSample.writeWide(writer)
        case .array:
            writer.array("items") { items in
                for index in 0..<64 {
                    items.document { item in
                        item.append("sku", string: "AB-12345" as StaticString)
                        item.append("qty", int32: Int32(index))
                        item.append("price", double: 9.99)
                        item.append("t", int64: 1_700_000_000_000 + Int64(index))
                    }
                }
            }
        case .vector:
            writer.array("v") { vector in
                for index in 0..<1536 { vector.append(double: Double(index) * 0.001) }
            }
        }
        writer.finish()
    }

    private static func writeSmall(_ writer: DocumentWriter) {
        writer.append("_id", string: "user0000000001" as StaticString)
        writer.append("n", int32: 0)
        writer.append("ts", dateTime: 1_700_000_000_000)
        writer.append("name", string: "Ada Lovelace" as StaticString)
        writer.append("email", string: "ada@example.org" as StaticString)
        writer.array("tags") { tags in
            tags.append(string: "alpha" as StaticString)
            tags.append(string: "beta" as StaticString)
        }
        writer.document("addr") { address in
            address.append("city", string: "London" as StaticString)
            address.append("zip", string: "N1 9GU" as StaticString)
        }
        writer.append("pad", string: "xxxxxxxxxxx" as StaticString)
    }

    private static func writeWide(_ writer: DocumentWriter) {
        let names = UnsafeRawPointer(wideNames.base)
        let text: StaticString = "some text value"
        let bytes = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        for index in 0..<200 {
            let name = KeyView(base: names + 9 * index, count: 8)
            switch index % 4 {
            case 0: writer.append(name, int32: Int32(index))
            case 1: writer.append(name, double: Double(index) * 0.5)
            case 2: writer.append(name, utf8: bytes)
            default: writer.append(name, bool: true)
            }
        }
    }

    /// Finds the last field, the worst case of a lookup.
    func lastField(of view: DocumentView) -> Bool {
        switch self {
        case .small: view["pad"] != nil
        case .wide: view["field199"] != nil
        case .array: view["items"] != nil
        case .vector: view["v"] != nil
        }
    }
}
