/// Sorts an array in steps of bounded work, so that a caller can let others run between them: first runs of neighbours,
/// then merges of runs, until one is left. Equal elements keep their order.
public struct StepwiseSort<Element> {
    /// What is sorted, in order at the end.
    public private(set) var elements: [Element]
    private let isBefore: (Element, Element) -> Bool
    private var merged: [Element] = []
    /// The length of the runs that are in order; 0 while the first are being made.
    private var width = 0
    /// How far this pass has come.
    private var position = 0
    /// The next element of each of the two runs that are being merged.
    private var left = 0
    private var right = 0

    /// Elements that one step sorts or moves.
    private static var elementsPerStep: Int { 1024 }

    /// Begins to sort.
    public init(_ elements: [Element], isBefore: @escaping (Element, Element) -> Bool) {
        self.elements = elements
        self.isBefore = isBefore
    }

    /// Whether all is in order.
    private var isDone: Bool { width > 0 && width >= elements.count && position == 0 }

    /// Does a piece of the work, if there is any; true when all is in order.
    public mutating func step() -> Bool {
        if isDone { return true }
        if width == 0 { makeRun() } else { mergeSome() }
        return isDone
    }

    private mutating func makeRun() {
        let end = min(position + Self.elementsPerStep, elements.count)
        elements[position..<end].sort(by: isBefore)
        position = end
        guard end == elements.count else { return }
        width = Self.elementsPerStep
        beginPass()
    }

    private mutating func beginPass() {
        position = 0
        left = 0
        right = min(width, elements.count)
    }

    private mutating func mergeSome() {
        if position == 0 {
            merged.removeAll(keepingCapacity: true)
            merged.reserveCapacity(elements.count)
        }
        let pause = min(position + Self.elementsPerStep, elements.count)
        while position < pause {
            let middle = position - position % (2 * width) + width
            let end = min(middle + width, elements.count)
            if left < min(middle, elements.count), right >= end || !isBefore(elements[right], elements[left]) {
                merged.append(elements[left])
                left += 1
            } else {
                merged.append(elements[right])
                right += 1
            }
            position += 1
            if position == end {
                left = end
                right = min(end + width, elements.count)
            }
        }
        guard position == elements.count else { return }
        swap(&elements, &merged)
        width *= 2
        beginPass()
    }
}
