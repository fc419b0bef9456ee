internal import BSON
internal import Core
internal import Data
internal import Frontend

/// A read that answers with one document, made at its end: `count`, `distinct`, `explain`.
struct SingleReplyRead {
    /// Goes on until done or the slice is used up.
    let run: (Instant) throws -> WriteProgress
    /// Writes the reply's fields.
    let write: (DocumentWriter) throws -> Void
    /// Gives back what the read holds.
    var close: () -> Void = {}

    typealias Open = (CommandContext, ReadPoint) throws -> SingleReplyRead

    /// Runs a read.
    static func start(_ context: CommandContext, _ open: @escaping Open) throws -> CommandOutcome {
        try ReadGate(context).run { try Running(context, $0, open) }
    }

    private final class Running: RunningRead {
        private let context: CommandContext
        private let read: SingleReplyRead
        /// A read at an earlier time keeps what it reads from being pruned between its slices.
        private let snapshot: SnapshotToken?

        init(_ context: CommandContext, _ point: ReadPoint, _ open: Open) throws {
            self.context = context
            let versions = context.node.data.versions
            if case .at(let time) = point { snapshot = try versions.openSnapshot(at: time) } else { snapshot = nil }
            do {
                read = try open(context, point)
            } catch {
                if let snapshot { versions.closeSnapshot(snapshot) }
                throw error
            }
        }

        func run(until deadline: Instant) throws -> WriteProgress { try read.run(deadline) }
        var tells: Bool { true }

        func write(at time: Timestamp?) throws {
            try read.write(context.writer)
            if let time { context.writer.append("atClusterTime", timestamp: time) }
        }

        func close() {
            read.close()
            if let snapshot { context.node.data.versions.closeSnapshot(snapshot) }
        }
    }
}
