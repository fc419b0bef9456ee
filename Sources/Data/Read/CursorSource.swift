import BSON
import Core
import Query

/// The documents of a find as the first stage of a pipeline: read page by page, and shown one by one.
///
/// What the storage shows is valid for a moment, what a stage shows until it is asked again: a page is a copy.
final class CursorSource: StageExecution {
    let cursor: QueryCursor
    private let clock: PipelineClock
    private let page = ByteBuffer(capacity: 4096)
    /// Where the next document of the page begins.
    private var position = 0
    private var documentsMax = CursorSource.firstPage
    private var isOver = false

    /// A reader that stops soon has little read in vain; one that goes on reads many at a time.
    private static let firstPage = 4
    private static let laterPage = 128
    private static let pageBytes = 1 << 16

    init(_ cursor: QueryCursor, _ clock: PipelineClock) {
        self.cursor = cursor
        self.clock = clock
    }

    func next() throws -> StageOutput {
        if clock.isOver() { return .yield }
        while position == page.count {
            if isOver { return .end }
            if case .yield = try readPage(), page.count == 0 { return .yield }
        }
        let document = DocumentView(base: UnsafeRawPointer(page.base + position))
        position += document.byteCount
        return .document(document)
    }

    private func readPage() throws -> ScanEnd {
        page.removeAll(keeping: 1 << 20)
        position = 0
        var count = 0
        var slice = SliceClock(deadline: clock.deadline)
        let end = try cursor.run(&slice) { document, _, _ in
            page.append(document.bytes)
            count += 1
            return count == documentsMax || page.count >= CursorSource.pageBytes ? .stop : .next
        }
        documentsMax = CursorSource.laterPage
        switch end {
        case .ended: isOver = true
        case .stopped: isOver = cursor.isAtLimit
        case .yield: break
        }
        return end
    }

    func close() { cursor.close() }
}
