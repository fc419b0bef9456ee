internal import BSON
internal import Core
internal import Data

/// Something that gives documents batch by batch: a find, an aggregation. Not a plug point.
protocol BatchSource: AnyObject {
    /// Appends up to `maxDocuments` documents of at most `maxBytes` together to `array`.
    func next(
        into array: inout ArrayWriter, maxDocuments: Int, maxBytes: Int, deadline: Instant
    ) throws -> CursorProgress
    /// Gives back what it holds.
    func close()
}

extension QueryCursor: BatchSource {}
