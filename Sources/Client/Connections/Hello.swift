import BSON
import Core
import Wire

extension ClientConnection {
    /// Sends `hello` and waits for the description.
    /// - Parameter awaiting: with a version, the server answers when its own differs or after `maximum`, and goes on to
    ///   answer each change without being asked again.
    func hello(
        application: String?, awaiting version: TopologyVersion? = nil, maximum: Duration = .zero, deadline: Instant
    ) async throws(NetworkError) -> ReceivedReply {
        let flags = version == nil ? 0 : MessageFlags.exhaustAllowed
        try send { output, id in
            let message = MessageWriter(message: output, requestID: id, responseTo: 0, flags: flags)
            message.document.append("hello", int32: 1)
            message.document.append("helloOk", bool: true)
            if let version {
                message.document.append("topologyVersion", version.document)
                message.document.append("maxAwaitTimeMS", int64: maximum.wholeMilliseconds)
            } else {
                message.document.document("client") { client in
                    if let application { client.document("application") { $0.append("name", string: application) } }
                    client.document("driver") {
                        $0.append("name", string: "quorate" as StaticString)
                        $0.append("version", string: "1" as StaticString)
                    }
                    client.document("os") { $0.append("type", string: "Linux" as StaticString) }
                }
            }
            message.document.append("$db", string: "admin" as StaticString)
            message.finish()
        }
        return try await receive(until: deadline)
    }
}
