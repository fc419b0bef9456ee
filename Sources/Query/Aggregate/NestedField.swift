public import BSON
public import Core

/// A path at which `$unwind` and `$lookup` put a value: it leads through documents, and what else stands in its way, an
/// array too, is replaced by one.
public struct NestedField {
    private let components: ArraySlice<[UInt8]>

    /// Throws as field paths do: 40352 for an empty one, 16410 for a name with a dollar sign in front.
    public init(_ path: String) throws(ServerError) { self.init(try ExpressionPath(path)) }

    init(_ path: ExpressionPath) { components = path.components[...] }

    /// Appends `document` with the value at the path set, or removed.
    public func set(_ value: ValueView?, in document: DocumentView, to buffer: ByteBuffer) {
        NestedField.set(components, value, in: document, DocumentWriter(startingIn: buffer))
    }

    private static func set(
        _ path: ArraySlice<[UInt8]>, _ value: ValueView?, in document: DocumentView?, _ writer: DocumentWriter
    ) {
        guard let name = path.first else { return writer.finish() }
        var isDone = false
        func place(_ existing: DocumentView?) {
            isDone = true
            name.withUnsafeBytes { bytes in
                if path.count > 1 {
                    if value == nil, existing == nil { return }
                    set(path.dropFirst(), value, in: existing, writer.begin(.document, bytes))
                } else if let value {
                    writer.append(KeyView(base: bytes.start, count: bytes.count), value)
                }
            }
        }
        if let document {
            for element in document {
                if !isDone, element.key.count == name.count, element.key.bytes.elementsEqual(name) {
                    place(element.value.asDocument)
                } else {
                    writer.append(element.key, element.value)
                }
            }
        }
        if !isDone { place(nil) }
        writer.finish()
    }
}
