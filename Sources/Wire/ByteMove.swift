public import BSON

/// Bytes that were copied elsewhere: what pointed at them points at the copy. What lies outside of them stays.
public struct ByteMove {
    private let from: UnsafeRawBufferPointer
    private let to: UnsafeRawPointer

    /// - Parameters:
    ///   - from: where the bytes were.
    ///   - to: the start of the copy, which is as long as `from`.
    public init(from: UnsafeRawBufferPointer, to: UnsafeRawPointer) {
        self.from = from
        self.to = to
    }

    private func moved(_ pointer: UnsafeRawPointer) -> UnsafeRawPointer {
        guard let start = from.baseAddress, pointer >= start, pointer < start + from.count else { return pointer }
        return to + (pointer - start)
    }

    /// Bytes at the place where they are now.
    public func callAsFunction(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes.baseAddress.map { moved($0) }, count: bytes.count)
    }

    /// A document at the place where it is now.
    public func callAsFunction(_ view: DocumentView) -> DocumentView { DocumentView(base: moved(view.base)) }

    /// A value at the place where it is now.
    public func callAsFunction(_ value: ValueView) -> ValueView {
        ValueView(type: value.type, pointer: moved(value.pointer), byteCount: value.byteCount)
    }

    func callAsFunction(_ key: KeyView) -> KeyView { KeyView(base: moved(key.base), count: key.count) }

    func callAsFunction(_ sequence: DocumentSequence) -> DocumentSequence {
        DocumentSequence(
            identifier: self(sequence.identifier), bytes: self(sequence.bytes), count: sequence.count)
    }
}

extension Request {
    /// The same request at the place where its bytes are now.
    public func moved(by move: ByteMove) -> Request {
        Request(
            form: form, requestID: requestID, flags: flags, body: move(body),
            queryNamespace: queryNamespace.map { move($0) }, querySecondaryOk: querySecondaryOk,
            firstSequence: firstSequence.map { move($0) }, secondSequence: secondSequence.map { move($0) })
    }
}
