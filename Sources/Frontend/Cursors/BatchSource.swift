package import BSON
package import Core

/// What an open cursor holds: closed once, when the cursor is.
package protocol CursorContents: AnyObject {
    /// Gives back what it holds.
    func close()
}

/// Something that gives documents batch by batch: a find, an aggregation. Not a plug point.
package protocol BatchSource: CursorContents {
    /// Appends up to `maxDocuments` documents of at most `maxBytes` together to `array`.
    func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress
    /// The command that asks for the next documents has to be done by then.
    func willContinue(until deadline: Instant)
    /// Writes what a reply carries beside the documents of its batch.
    func appendBesideBatch(to reply: DocumentWriter)
}

extension BatchSource {
    package func willContinue(until deadline: Instant) {}
    package func appendBesideBatch(to reply: DocumentWriter) {}
}

/// Documents that are all there already.
package final class DocumentList: BatchSource {
    private let documents: [Document]
    private var shown = 0

    package init(_ documents: [Document]) { self.documents = documents }

    package func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress {
        var bytes = 0
        var count = 0
        while shown < documents.count {
            let size = documents[shown].byteCount
            guard count < maxDocuments, array.count == 0 || bytes + size <= maxBytes else { return .batchFull }
            // Copies do not look at the clock: so many in one slice.
            guard count < Limits.copiedDocumentsPerSlice, bytes < Limits.copiedBytesPerSlice else { return .yield }
            array.append(documents[shown])
            shown += 1
            bytes += size
            count += 1
        }
        return .exhausted
    }

    package func close() {}
}
