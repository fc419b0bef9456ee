package import BSON
package import Core

/// A command that could not be answered at once: it waits, or takes more than one slice of the loop. Commands that end
/// within the call that brought them never have one: nobody could see or end them.
package final class Operation {
    /// What a command waits for, as `currentOp` says it.
    package enum Wait {
        case writeConcern, flowControl, data
        /// For `fsyncUnlock`.
        case lock
    }

    /// `opid`.
    package let id: Int32
    package let command: RegisteredCommand
    package let database: String
    /// The command as `currentOp` shows it.
    package let document: Document
    package let session: SessionID?
    package let startedAt: Instant
    package var wait: Wait?
    /// The cursor that a `getMore` goes on with.
    package let cursor: CursorRegistry.Entry?
    /// Why it has to end; set once.
    package fileprivate(set) var interruption: ServerError?

    package init(_ context: RequestContext) {
        id = context.operationID
        command = context.command
        database = context.database
        document = OperationReport.shown(context.body)
        session = context.arguments.sessionID
        startedAt = context.startedAt
        cursor =
            context.body.isFirst("getMore")
            ? context.argument.asInt64.flatMap { context.frontend.cursors.find($0) } : nil
    }

    package static let interrupted = ServerError(.interrupted, "operation was interrupted")
}

extension ClientConnection {
    /// Nobody waits any more for what the command in flight does: the client is gone, or the command was killed.
    package var isAbandoned: Bool { isClosed || interruption != nil }

    /// Why a client's command in flight has to end: it has one at most. Those of members are not ended.
    package var interruption: ServerError? { operations.first?.interruption }

    /// - Throws: `Interrupted` when the command in flight was killed.
    @inline(__always)
    package func checkInterrupted() throws(ServerError) {
        if let interruption { throw interruption }
    }

    /// Ends the command in flight, if it is one that waits or is long: what it waits for is over, and its next step
    /// finds out. What members ask of one another is not ended.
    package func interrupt(because error: ServerError = Operation.interrupted) {
        guard let operation = operations.first, operation.interruption == nil, peer == nil, !isClosed else { return }
        operation.interruption = error
        abandonWaits(because: error)
    }
}

extension Frontend {
    /// Commands that wait or are long, at this moment.
    package var operationCount: Int { clientConnections.reduce(0) { $0 + $1.operations.count } }

    /// Ends the operations for which `isMeant` holds.
    package func interruptOperations(where isMeant: (Operation) -> Bool) {
        for connection in clientConnections {
            if connection.operations.contains(where: isMeant) { connection.interrupt() }
        }
    }
}
