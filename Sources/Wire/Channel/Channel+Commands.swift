public import BSON

/// Requests that are one command document.
extension Channel {
    /// Sends the command whose fields `build` appends.
    public func request(
        timeout: Duration?, database: String, _ build: (DocumentWriter) -> Void, completion: @escaping Completion
    ) {
        let write = { (output: ByteBuffer, id: Int32) in
            let message = MessageWriter(message: output, requestID: id, responseTo: 0)
            build(message.document)
            message.document.append("$db", string: database)
            message.finish()
        }
        request(timeout: timeout, write: write, completion: completion)
    }

    /// The same, as a call that suspends. The reply is copied.
    public func call(
        timeout: Duration?, database: String = "admin", _ build: (DocumentWriter) -> Void
    ) async throws(ChannelError) -> Document {
        let reply = await withUnsafeContinuation {
            (continuation: UnsafeContinuation<Result<Document, ChannelError>, Never>) in
            request(timeout: timeout, database: database, build) { result in
                continuation.resume(returning: result.map { $0.body.document })
            }
        }
        return try reply.get()
    }
}
