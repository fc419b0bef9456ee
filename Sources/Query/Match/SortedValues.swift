import BSON

/// Values of a list in MongoDB's order, to look up others among them. Owns their bytes.
struct SortedValues {
    private let source: OwnedBytes
    /// The different values in order; of equal ones the first of the list.
    private let views: [ValueView]
    /// The place in the list of each.
    private let places: [Int]

    init(_ list: DocumentView) {
        source = OwnedBytes(copying: list)
        let values = source.view.map(\.value)
        var order: [Int] = []
        for place in values.indices.sorted(by: { (a, b) in
            let order = ValueView.compare(values[a], values[b])
            return order < 0 || (order == 0 && a < b)
        }) {
            if let last = order.last, ValueView.compare(values[last], values[place]) == 0 { continue }
            order.append(place)
        }
        places = order
        views = order.map { values[$0] }
    }

    /// The different values that are not in an array, as they come in the list.
    func missing(from array: DocumentView) -> [Value] {
        var isThere = [Bool](repeating: false, count: views.count)
        for element in array { if let index = views.binarySearch(element.value) { isThere[index] = true } }
        let missing = places.indices.filter { !isThere[$0] }
        return missing.sorted { places[$0] < places[$1] }.map { Value(views[$0]) }
    }

    func contains(_ value: ValueView) -> Bool { views.binarySearch(value) != nil }
}

extension [ValueView] {
    /// The index of a value that is equal, in an array in MongoDB's order.
    func binarySearch(_ value: ValueView) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            let order = ValueView.compare(self[middle], value)
            if order == 0 { return middle }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return nil
    }
}
