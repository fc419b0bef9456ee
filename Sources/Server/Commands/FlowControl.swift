internal import BSON
internal import Core
internal import Data

/// Slows a primary's writers while the majority lags so far behind that writes would soon have to be refused: each
/// write waits for the commit point to catch up, a little while at most.
struct FlowControl {
    /// Writes that had to wait, and for how long together.
    private(set) var waits: Int64 = 0
    private(set) var waited: Duration = .zero

    fileprivate mutating func note(_ time: Duration) {
        waits += 1
        waited += time
    }
}

extension Node {
    /// Whether writers have to be slowed down. All that a write looks at.
    @inline(__always)
    var isLagged: Bool { data.isUnderPressure && role.isReplicated }

    /// Runs a command that writes once the pressure is off, or the wait has been long enough.
    func runSlowed(_ context: CommandContext) async throws {
        let began = runtime.now
        let end = min(began + Limits.flowControlWaitMax, context.deadline)
        while isLagged, runtime.now < end, !context.connection.isClosed, !isShuttingDown {
            guard let role = role as? ReplicaSetRole else { break }
            await role.oplogChanged.wait(until: end, on: context.connection)
        }
        flowControl.note(runtime.now - began)
        try await runToEnd(context)
    }

    /// Runs a command with all that it waits for.
    func runToEnd(_ context: CommandContext) async throws {
        switch try context.command.run(context) {
        case .done: break
        case .awaitingWriteConcern(let optime, let concern): try await context.awaitWriteConcern(optime, concern)
        case .later(let work): try await work(context)
        }
    }

    /// The `flowControl` section of `serverStatus`.
    func appendFlowControl(to writer: DocumentWriter) {
        writer.document("flowControl") {
            $0.append("enabled", bool: role.isReplicated)
            $0.append("isLagged", bool: isLagged)
            $0.append("isLaggedCount", int64: flowControl.waits)
            $0.append("timeAcquiringMicros", int64: flowControl.waited.wholeMilliseconds * 1000)
        }
    }
}
