import BSON

/// A copy of a document that stays where it is, so that compiled queries may keep views into it.
final class OwnedBytes {
    private let base: UnsafeMutableRawPointer
    /// Valid as long as this object.
    let view: DocumentView

    init(copying document: DocumentView) {
        let size = document.byteCount
        base = CMemory.allocate(size)
        base.copyMemory(from: document.base, byteCount: size)
        view = DocumentView(base: UnsafeRawPointer(base))
    }

    /// One value, as the only field of the copy.
    convenience init(copying value: ValueView) {
        let buffer = ByteBuffer(capacity: value.byteCount + 16)
        let writer = DocumentWriter(startingIn: buffer)
        writer.append("", value)
        writer.finish()
        self.init(copying: DocumentView(base: UnsafeRawPointer(buffer.base)))
    }

    deinit { CMemory.free(base) }
}
