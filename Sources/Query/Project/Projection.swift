public import BSON
public import Core
public final class Projection {
    public let needsPosition = false
    public init(_ document: DocumentView, context: QueryContext) throws(ServerError) {}
    public func apply(_ document: DocumentView, position: Int? = nil, to buffer: ByteBuffer) throws(ServerError) {
        buffer.append(document.bytes)
    }
}
