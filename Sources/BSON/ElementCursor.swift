/// Walks the fields of a document that it holds, one at a time: a walk that can be left and taken up again.
public struct ElementCursor {
    public let document: Document
    /// Where the next field starts.
    private var offset = 4

    public init(_ document: Document) { self.document = document }

    /// The next field's value; nil at the end.
    public mutating func next() -> Value? {
        let start = offset
        guard
            let (value, end) = document.withView({ view -> (Value, Int)? in
                var iterator = DocumentView.Iterator(of: view, at: start)
                guard let element = iterator.next() else { return nil }
                return (Value(element.value), iterator.offset(in: view))
            })
        else { return nil }
        offset = end
        return value
    }
}
