package import BSON
internal import Core
internal import Wire

/// Replies that follow one another to a single request, where the client allows it (`exhaustAllowed`).
extension RequestContext {
    /// Whether a reply of about `byteCount` bytes may be followed by another one that nobody asked for. Not when the
    /// client does not take what it was sent: it may ask again when it has.
    package final func mayStream(_ byteCount: Int) -> Bool {
        request.allowsExhaust && request.form == .message && !request.isUnacknowledged && !connection.isClosed
            && !frontend.isShuttingDown
            && connection.connection.pendingOutputBytes + byteCount <= Limits.streamedBytesMax
    }

    /// Sends a reply at once that says that more will come. Whatever this command is answered with in the end is the
    /// reply behind it.
    package final func stream(_ build: (DocumentWriter) -> Void) {
        let output = connection.connection.output
        let start = output.count
        let requestID = connection.nextReplyID()
        let writer = MessageWriter(
            message: output, requestID: requestID, responseTo: streamed ?? request.requestID,
            flags: MessageFlags.moreToCome)
        build(writer.document)
        frontend.finish(writer, operationTime: lastWrite?.timestamp)
        connection.compressReply(from: start)
        connection.connection.flush()
        streamed = requestID
        reply.answer(requestID)
    }
}
