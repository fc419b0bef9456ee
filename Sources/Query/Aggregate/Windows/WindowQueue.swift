/// A queue in pieces: what leaves at its front is given back piece by piece, and nothing is ever moved.
struct WindowQueue<Element> {
    private var pieces: [[Element?]] = []
    /// Elements of the first piece that have left.
    private var head = 0
    private(set) var count = 0

    private static var pieceCount: Int { 1024 }

    var isEmpty: Bool { count == 0 }
    var first: Element? { isEmpty ? nil : self[0] }
    var last: Element? { isEmpty ? nil : self[count - 1] }

    /// The element at `index`, which must be one of the queue.
    subscript(index: Int) -> Element {
        let place = head + index
        guard let element = pieces[place / Self.pieceCount][place % Self.pieceCount] else {
            preconditionFailure("an element that has left the queue")
        }
        return element
    }

    mutating func append(_ element: Element) {
        if pieces.last.map({ $0.count == Self.pieceCount }) ?? true {
            var piece: [Element?] = []
            piece.reserveCapacity(pieces.isEmpty ? 16 : Self.pieceCount)
            pieces.append(piece)
        }
        pieces[pieces.count - 1].append(element)
        count += 1
    }

    mutating func removeLast() {
        guard count > 0 else { return }
        pieces[pieces.count - 1].removeLast()
        if pieces[pieces.count - 1].isEmpty { pieces.removeLast() }
        count -= 1
        if count == 0 { self = WindowQueue() }
    }

    @discardableResult mutating func removeFirst() -> Element? {
        guard count > 0 else { return nil }
        var element: Element?
        swap(&pieces[0][head], &element)
        head += 1
        count -= 1
        if count == 0 {
            self = WindowQueue()
        } else if head == Self.pieceCount {
            pieces.removeFirst()
            head = 0
        }
        return element
    }

    /// What is in it, the first first.
    var all: some Sequence<Element> {
        (0..<count).lazy.map { self[$0] }
    }
}
