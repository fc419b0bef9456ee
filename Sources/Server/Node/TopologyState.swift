internal import BSON
internal import Core

/// The node's `topologyVersion` and those who wait for it to change: every streaming `hello`.
///
/// A change answers all of them at once; without that, clients learn of a failover up to ten seconds late (clients.md).
final class TopologyState {
    /// Unique to this start of the node.
    let processID: ObjectID
    private(set) var counter: Int64 = 0
    private var waiters: [UInt64: () -> Void] = [:]
    private var nextWaiter: UInt64 = 0

    init(processID: ObjectID) { self.processID = processID }

    /// Writes `topologyVersion: {processId, counter}`.
    func append(to writer: DocumentWriter) {
        writer.document("topologyVersion") {
            $0.append("processId", objectID: processID)
            $0.append("counter", int64: counter)
        }
    }

    /// Something that `hello` shows has changed.
    func bump() {
        counter += 1
        // In the order in which they came: the order of a dictionary must not reach the wire.
        let woken = waiters.sorted { $0.key < $1.key }
        waiters.removeAll()
        for (_, wake) in woken { wake() }
    }

    /// Whether a client that saw (`processID`, `counter`) has seen all there is.
    func isCurrent(processID: ObjectID, counter: Int64) -> Bool {
        processID == self.processID && counter == self.counter
    }

    /// Suspends until the counter differs from `seen`, the deadline passes, or `connection` closes.
    func wait(beyond seen: Int64, until deadline: Instant, on connection: ClientConnection, _ runtime: any NodeRuntime) async {
        guard counter == seen, deadline > runtime.now, !connection.isClosed else { return }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let id = nextWaiter
            nextWaiter += 1
            var timer: TimerToken?
            let wake = {
                if let timer { runtime.cancel(timer) }
                continuation.resume()
            }
            waiters[id] = wake
            timer = runtime.schedule(at: deadline) { [self] in
                if waiters.removeValue(forKey: id) != nil { continuation.resume() }
            }
            connection.onClose { [self] in waiters.removeValue(forKey: id)?() }
        }
    }
}
