internal import CBSON

extension ValueView {
    /// MongoDB's order across all types: negative, zero or positive. Field names of the two values do not matter.
    ///
    /// Numbers of all types compare by value, strings and symbols by their bytes, documents field by field
    /// (type bracket, name, value), null before numbers before strings before documents before arrays …
    public static func compare(_ a: ValueView, _ b: ValueView) -> Int {
        Int(cbson_compare_values(a.type.rawValue, a.pointer, b.type.rawValue, b.pointer))
    }
}

extension DocumentView {
    /// MongoDB's order of documents.
    public static func compare(_ a: DocumentView, _ b: DocumentView) -> Int {
        Int(cbson_compare_documents(a.base, b.base))
    }
}
