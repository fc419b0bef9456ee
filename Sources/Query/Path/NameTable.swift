import BSON

/// Finds one of many names without a walk over all: their places in a list that somebody else keeps.
///
/// A list as long as those that people write by hand is walked all the same; that is faster.
struct NameTable {
    /// A place and one more, found by the name's hash or behind it; 0 where there is none.
    private var slots: [Int32] = []
    private var count = 0

    private static let walkedMax = 12

    /// The place of `name`; `isNamed` says whether it is the name at a place.
    @inline(__always) func find(_ name: KeyView, _ isNamed: (Int) -> Bool) -> Int? {
        guard slots.isEmpty else { return findHashed(name, isNamed) }
        for place in 0..<count where isNamed(place) { return place }
        return nil
    }

    @inline(never) private func findHashed(_ name: KeyView, _ isNamed: (Int) -> Bool) -> Int? {
        var slot = NameTable.hash(name) & (slots.count - 1)
        while slots[slot] != 0 {
            let place = Int(slots[slot]) - 1
            if isNamed(place) { return place }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Adds a name behind the others, which `nameAt` tells; it must not be there yet.
    mutating func append(_ name: KeyView, _ nameAt: (Int, (KeyView) -> Void) -> Void) {
        count += 1
        guard count > NameTable.walkedMax else { return }
        if slots.count >= 2 * count { return place(name, count - 1) }
        slots = [Int32](repeating: 0, count: 1 << (Int.bitWidth - (4 * count).leadingZeroBitCount))
        for place in 0..<count - 1 { nameAt(place) { self.place($0, place) } }
        place(name, count - 1)
    }

    private mutating func place(_ name: KeyView, _ place: Int) {
        var slot = NameTable.hash(name) & (slots.count - 1)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = Int32(truncatingIfNeeded: place + 1)
    }

    /// Seeded a process: nobody can choose names that meet. What is found does not depend on it.
    private static func hash(_ name: KeyView) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: name.bytes)
        return hasher.finalize()
    }
}

/// Named things in the order in which they were added, found by their names.
struct NamedList<Element> {
    private(set) var items: [(name: [UInt8], element: Element)] = []
    private var table = NameTable()

    var count: Int { items.count }

    func index(_ name: KeyView) -> Int? {
        table.find(name) { items[$0].name.count == name.count && items[$0].name.elementsEqual(name.bytes) }
    }

    func index(_ name: [UInt8]) -> Int? { name.withUnsafeBytes { index(KeyView($0)) } }

    /// Adds what has a name that is not there yet.
    mutating func append(_ name: [UInt8], _ element: Element) {
        name.withUnsafeBytes { bytes in
            table.append(KeyView(bytes)) { place, body in items[place].name.withUnsafeBytes { body(KeyView($0)) } }
        }
        items.append((name, element))
    }

    subscript(index: Int) -> Element {
        get { items[index].element }
        set { items[index].element = newValue }
    }
}
