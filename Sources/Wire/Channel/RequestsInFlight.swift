internal import BSON
internal import Core

/// Requests that wait for replies, in the order in which they were sent: the order in which they fail when the
/// connection ends.
struct RequestsInFlight {
    /// One of them.
    struct Request {
        /// What its next reply answers: the request, or within a stream the reply before.
        var id: Int32
        let sentAt: Instant
        /// How long each reply may take; nil for ever.
        let timeout: Duration?
        var timer: TimerToken?
        let completion: Channel.Completion
    }

    private var requests: [Request] = []

    var count: Int { requests.count }
    var isEmpty: Bool { requests.isEmpty }
    var isFull: Bool { requests.count >= Limits.channelRequestsMax }
    /// Whether `id` is the only one.
    func isAlone(_ id: Int32) -> Bool { requests.count == 1 && requests[0].id == id }

    mutating func add(_ request: Request) { requests.append(request) }

    /// Takes the one out that waits for a reply to `id`. Most replies come in order: it is one of the first.
    mutating func remove(_ id: Int32) -> Request? {
        requests.firstIndex { $0.id == id }.map { requests.remove(at: $0) }
    }

    /// Takes all of them out.
    mutating func removeAll() -> [Request] {
        defer { requests = [] }
        return requests
    }
}
