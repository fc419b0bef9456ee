import Core

/// What a member was written, batch by batch: what is safe for certain, and what came behind it.
struct DiskLedger {
    /// What is safe.
    private(set) var image = DiskImage()
    private(set) var safeCount: UInt64 = 0
    /// What was written behind it, oldest first.
    private(set) var unsafe: [DiskImage.Change] = []
    var writtenCount: UInt64 { safeCount + UInt64(unsafe.count) }

    /// Safe and unsafe together.
    var whole: DiskImage {
        var whole = image
        for change in unsafe { whole.apply(change) }
        return whole
    }

    mutating func note(_ change: DiskImage.Change) { unsafe.append(change) }

    /// The batches up to that number are safe.
    mutating func sync(upTo mark: UInt64) {
        guard mark > safeCount else { return }
        let count = min(Int(mark - safeCount), unsafe.count)
        for change in unsafe[..<count] { image.apply(change) }
        unsafe.removeFirst(count)
        safeCount += UInt64(count)
    }

    /// Of what is not safe so many batches are left; the others never happened.
    mutating func loseTail(keeping count: Int) { unsafe.removeLast(unsafe.count - count) }
}
