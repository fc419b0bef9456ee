internal import BSON
internal import Core
internal import Replication

/// Requests to members by their messages.
extension PeerLink {
    /// Sends a request and calls `completion` with the answer, which is valid during the call, or the error: an answer
    /// that cannot be read is one.
    func request<Request: MemberRequest>(
        _ request: Request, timeout: Duration = Limits.peerRequestTimeout,
        completion: @escaping (Result<Request.Reply, PeerError>) -> Void
    ) {
        self.request(timeout: timeout) {
            request.encode(to: $0)
        } completion: { result in
            completion(
                result.flatMap { body in
                    do throws(ServerError) {
                        return .success(try Request.Reply(decoding: body))
                    } catch {
                        return .failure(.unreadable(error))
                    }
                })
        }
    }

    /// The same, as a call that suspends. The message is copied once, and `take` sees the answer in that copy.
    /// - Throws: `ServerError` (the member's own, `HostUnreachable`, `NetworkTimeout`, `FailedToParse`), or what `take`
    ///   throws.
    func call<Request: MemberRequest, T>(
        _ request: Request, timeout: Duration = Limits.peerCallTimeout, _ take: (Request.Reply) throws -> T
    ) async throws -> T {
        let answer = try await call(timeout: timeout) { request.encode(to: $0) }
        return try answer.withView { try take(try Request.Reply(decoding: $0)) }
    }
}
