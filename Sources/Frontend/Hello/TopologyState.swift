package import BSON
package import Core

/// The node's `topologyVersion` and those who wait for it to change: every streaming `hello`.
///
/// A change answers all of them at once; without that, clients learn of a failover up to ten seconds late (the
/// drivers' specification "Server Monitoring", `heartbeatFrequencyMS`).
package final class TopologyState {
    /// Unique to this start of the node.
    package let processID: ObjectID
    package private(set) var counter: Int64 = 0
    private let changed: LoopSignal

    package init(runtime: any NodeRuntime) {
        processID = ObjectID(runtime: runtime)
        changed = LoopSignal(runtime: runtime)
    }

    /// Writes `topologyVersion: {processId, counter}`.
    package func append(to writer: DocumentWriter) {
        writer.document("topologyVersion") {
            $0.append("processId", objectID: processID)
            $0.append("counter", int64: counter)
        }
    }

    /// Something that `hello` shows has changed.
    package func bump() {
        counter += 1
        changed.fire()
    }

    /// Whether a client that saw (`processID`, `counter`) has seen all there is.
    func isCurrent(processID: ObjectID, counter: Int64) -> Bool {
        processID == self.processID && counter == self.counter
    }

    /// Suspends until the counter differs from `seen`, the deadline passes, `connection` closes, or its command is
    /// killed.
    package func wait(beyond seen: Int64, until deadline: Instant, on connection: ClientConnection? = nil) async {
        guard counter == seen else { return }
        await changed.wait(until: deadline, on: connection)
    }
}

extension ObjectID {
    /// A new id from the node's clock and generator.
    init(runtime: any NodeRuntime) {
        let random = runtime.randomNumber()
        self.init(
            high: UInt64(runtime.wallClock.seconds) << 32 | random >> 32, low: UInt32(truncatingIfNeeded: random))
    }
}
