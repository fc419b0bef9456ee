public import BSON
public import Core

/// The documents of a write command in place: a document sequence of the message, or an array of its body. The bytes
/// stay where they are until the operation is done.
public struct DocumentRun {
    private var at: UnsafeRawPointer?
    private let end: UnsafeRawPointer?
    private var elements: DocumentView.Iterator?
    private let field: StaticString

    /// Documents back to back, each of them validated.
    public init(sequence bytes: UnsafeRawBufferPointer, field: StaticString = "documents") {
        at = bytes.baseAddress
        end = bytes.baseAddress.map { $0 + bytes.count }
        elements = nil
        self.field = field
    }

    /// The elements of an array.
    public init(array: DocumentView, field: StaticString = "documents") {
        at = nil
        end = nil
        elements = array.makeIterator()
        self.field = field
    }

    /// The next document, or nil behind the last.
    @inline(__always)
    public mutating func next() throws(ServerError) -> DocumentView? {
        if let start = at, let end {
            guard start < end else { return nil }
            let document = DocumentView(base: start)
            at = start + document.byteCount
            return document
        }
        guard let element = elements?.next() else { return nil }
        guard let document = element.value.asDocument else {
            throw ServerError(.typeMismatch, "\(field).\(element.key.string) must be a document")
        }
        return document
    }
}
