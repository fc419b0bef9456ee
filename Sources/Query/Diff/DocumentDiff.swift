public import BSON
public import Core

/// The delta of an update as the oplog carries it (`$v: 2`): setting it twice does what setting it once does.
///
/// A document's delta is `{d: {removed: false}, u: {changed: value}, i: {added: value}, s<name>: <delta>}`; changed
/// fields keep their place, added ones come last. An array's is `{a: true, l: <new length>, u<index>: value, s<index>:
/// <delta>}`.
public enum DocumentDiff {
    /// Appends `$v` and `diff` to `writer`: what makes `new` of `old`, byte for byte.
    ///
    /// False, with nothing appended, when a delta cannot express the change (fields that repeat a name, arrays with odd
    /// keys); the oplog then carries `new` itself. An update with operators is logged as a delta however small the
    /// document is, and in the parts that its operators name: programs that read the oplog look for them there. Of
    /// other updates (`program` nil or a pipeline) the delta has to be smaller than `new`.
    public static func compute(
        from old: DocumentView, to new: DocumentView, by program: UpdateProgram? = nil, into writer: DocumentWriter
    ) -> Bool {
        let scratch = ByteBuffer(capacity: 256)
        let diff = DocumentWriter(startingIn: scratch)
        let operators = program?.operators
        DiffBuilder.document(old, new, operators, to: diff)
        diff.finish()
        guard scratch.count < (operators == nil ? new.byteCount : Limits.documentBytesMax) else { return false }
        let view = DocumentView(base: UnsafeRawPointer(scratch.base))
        // Not every change of order or of repeated names can be said; what can is found out by doing it.
        let made = ByteBuffer(capacity: new.byteCount + 64)
        let applied = Result { () throws(ServerError) in try apply(view, to: old, into: made) }
        guard case .success = applied, made.bytes.isSame(as: new.bytes) else {
            return false
        }
        writer.append("$v", int32: 2)
        writer.append("diff", view)
        return true
    }

    /// Appends the document that `diff` (the entry's `diff`) makes of `document` to `output`.
    ///
    /// A part of the delta that does not fit the document, as when a later state is written over again, does nothing.
    /// Throws `FailedToParse` for a delta that is malformed; `output` is then as before.
    public static func apply(
        _ diff: DocumentView, to document: DocumentView, into output: ByteBuffer
    ) throws(ServerError) {
        let start = output.count
        do throws(ServerError) {
            let writer = DocumentWriter(startingIn: output)
            try DiffApplication.document(diff, to: document, into: writer)
            writer.finish()
        } catch {
            output.truncate(to: start)
            throw error
        }
    }
}
