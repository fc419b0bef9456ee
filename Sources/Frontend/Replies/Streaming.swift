internal import BSON
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

    /// Sends the reply as it is at once, saying in it that more will come, and begins the one behind it. Only for a
    /// command that was put off.
    package final func stream() {
        reply.setMoreToCome()
        frontend.finish(self)
        connection.send(reply, compressedBy: replyCompressor)
        connection.connection.flush()
        let requestID = reply.requestID
        reply.discard()
        reply = MessageWriter(
            message: reply.document.buffer, requestID: connection.nextReplyID(), responseTo: requestID)
    }
}
