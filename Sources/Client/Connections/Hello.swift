import BSON
import Core
import Wire

extension ServerConnection {
    /// Sends `hello` and waits for the description.
    /// - Parameter awaiting: with a version, the server answers when its own differs or after `maximum`, and goes on to
    ///   answer each change without being asked again.
    func hello(
        application: String?, awaiting version: TopologyVersion? = nil, maximum: Duration = .zero, timeout: Duration
    ) async throws(NetworkError) -> ReceivedReply {
        let flags = version == nil ? 0 : MessageFlags.exhaustAllowed
        return try await hello(timeout: timeout, flags: flags) { writer in
            writer.append("hello", int32: 1)
            writer.append("helloOk", bool: true)
            if let version {
                writer.append("topologyVersion", version.document)
                writer.append("maxAwaitTimeMS", int64: maximum.wholeMilliseconds)
            } else {
                writer.document("client") { client in
                    if let application { client.document("application") { $0.append("name", string: application) } }
                    client.document("driver") {
                        $0.append("name", string: "quorate" as StaticString)
                        $0.append("version", string: "1" as StaticString)
                    }
                    client.document("os") { $0.append("type", string: "Linux" as StaticString) }
                }
            }
        }
    }
}
