import BSON
import Core

/// What matching reports besides yes or no, and how it goes on where it was interrupted.
struct MatchDetails {
    /// Index of the element of the outermost array at which the last array path matched, or -1.
    var position = -1
    /// Of a match that may take long; others run to their end.
    let progress: MatchProgress?

    init(progress: MatchProgress? = nil) { self.progress = progress }

    /// Details that nobody reads, of the same match.
    var ignored: MatchDetails { MatchDetails(progress: progress) }

    @inline(__always) func spend(_ steps: Int) throws(ServerError) { try progress?.spend(steps) }

    /// The first field of a document that has the name.
    @inline(__always) func find(_ name: KeyView, in document: DocumentView) -> ValueView? {
        let value = document.find(name)
        if let progress { progress.count(bytes: value.map { $0.pointer - document.base } ?? document.byteCount) }
        return value
    }

    func find(_ name: String, in document: DocumentView) -> ValueView? { KeyView.with(name) { find($0, in: document) } }

    /// What this node kept when the match was interrupted; nil when it begins.
    func kept<Frame>(_ type: Frame.Type) -> Frame? { progress?.kept(type) }

    /// Keeps what the node needs to go on, when `error` is an interruption.
    func keep(_ frame: @autoclosure () -> Any, _ error: ServerError) { progress?.keep(frame(), error) }

    // MARK: Loops

    /// The first of `0 ..< count` that the condition holds for. It must be pure: it is not asked again for those
    /// before.
    @inline(__always) mutating func first(
        of count: Int, where holds: (Int, inout MatchDetails) throws(ServerError) -> Bool
    ) throws(ServerError) -> Int? {
        guard progress == nil else { return try firstInSteps(of: count, where: holds) }
        for index in 0..<count where try holds(index, &self) { return index }
        return nil
    }

    /// The index of the first field or element that the condition holds for.
    @inline(__always) mutating func first(
        in fields: DocumentView,
        where holds: (DocumentView.Element, Int, inout MatchDetails) throws(ServerError) -> Bool
    ) throws(ServerError) -> Int? {
        guard progress == nil else { return try firstInSteps(in: fields, where: holds) }
        var index = 0
        for element in fields {
            if try holds(element, index, &self) { return index }
            index &+= 1
        }
        return nil
    }

    @inline(never) private mutating func firstInSteps(
        of count: Int, where holds: (Int, inout MatchDetails) throws(ServerError) -> Bool
    ) throws(ServerError) -> Int? {
        var index = kept(Int.self) ?? 0
        do throws(ServerError) {
            while index < count {
                if try holds(index, &self) { return index }
                index &+= 1
                try spend(1)
            }
            return nil
        } catch {
            keep(index, error)
            throw error
        }
    }

    /// Where a loop over fields stands: bytes from the beginning of the document, and the index there.
    private struct FieldPlace {
        var offset = 4
        var index = 0
    }

    @inline(never) private mutating func firstInSteps(
        in fields: DocumentView,
        where holds: (DocumentView.Element, Int, inout MatchDetails) throws(ServerError) -> Bool
    ) throws(ServerError) -> Int? {
        var place = kept(FieldPlace.self) ?? FieldPlace()
        var iterator = DocumentView.Iterator(of: fields, at: place.offset)
        do throws(ServerError) {
            while let element = iterator.next() {
                if try holds(element, place.index, &self) { return place.index }
                // Only now: what is interrupted between two elements has to have come further.
                place = FieldPlace(offset: iterator.offset(in: fields), index: place.index &+ 1)
                try spend(1 &+ element.value.byteCount &>> 7)
            }
            return nil
        } catch {
            keep(place, error)
            throw error
        }
    }
}
