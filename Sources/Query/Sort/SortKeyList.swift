public import BSON
public import Core

/// The sort keys of the documents of one batch, for whoever merges it with the batches of others: `memcmp` of two keys
/// is the order of their documents.
public final class SortKeyList {
    private let pattern: SortPattern
    private let key = ByteBuffer(capacity: 128)
    private let bytes = ByteBuffer(capacity: 1024)
    private var array: ArrayWriter

    /// Keys by a sort.
    public init(_ pattern: SortPattern) {
        self.pattern = pattern
        array = ArrayWriter(startingIn: bytes)
    }

    /// Adds the key of the next document, as it was sorted: before its projection.
    public func add(_ document: DocumentView) throws(ServerError) {
        key.removeAll(keeping: 1 << 16)
        try pattern.appendKey(document, to: key)
        array.append(binary: key.bytes)
    }

    /// Writes the keys that were added, as an array, and begins anew.
    public func write(to writer: DocumentWriter, as name: StaticString) {
        array.finish()
        writer.append(name, array: DocumentView(base: UnsafeRawPointer(bytes.base)))
        bytes.removeAll(keeping: 1 << 20)
        array = ArrayWriter(startingIn: bytes)
    }
}
