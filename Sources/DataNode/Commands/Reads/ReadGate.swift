internal import BSON
internal import Core
internal import Data
internal import Frontend

/// A read on its way, as `ReadGate` runs it.
protocol RunningRead: AnyObject {
    /// Goes on until done or the slice is used up.
    func run(until deadline: Instant) throws -> WriteProgress
    /// Whether what it has read says anything about the data: a linearizable read is confirmed then.
    var tells: Bool { get }
    /// Writes the reply's fields. `time` is that of a snapshot read, which says it: a session reads there from now on.
    func write(at time: Timestamp?) throws
    /// Gives back what it holds. Called once, at the end or when the read has failed.
    func close()
}

/// What every command goes through that reads documents: whether this member answers it, with which read concern, at
/// which point in time; at once when it is done within one slice of the loop, else as a task; confirmed where that was
/// asked for.
struct ReadGate {
    private let context: CommandContext
    let concern: ReadConcern
    /// Nil: it has to be waited for.
    private let point: ReadPoint?

    typealias Open = (ReadPoint) throws -> any RunningRead

    /// - Throws: `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary`, and what is wrong with the read concern.
    @inline(__always)
    init(_ context: CommandContext) throws(ServerError) {
        self.context = context
        try context.checkReadable()
        concern = try context.readConcern()
        let point = try context.node.role.readPoint(concern)
        self.point = concern.level == .linearizable ? nil : point
    }

    /// For a command that takes no read concern: it reads what is there now.
    /// - Throws: `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary`.
    init(withoutConcern context: CommandContext) throws(ServerError) {
        self.context = context
        try context.checkReadable()
        concern = ReadConcern()
        point = .latest
    }

    /// Whether the command reads what is there now, and need not wait for that.
    @inline(__always)
    var isLatest: Bool { if case .latest? = point { true } else { false } }

    /// Runs a read, which `open` begins at the point in time that it is given.
    func run(_ open: @escaping Open) throws -> CommandOutcome {
        guard let point else {
            return .later {
                let point = try await awaitPoint()
                try await goOn(try await context.inReadSlices { _ in try open(point) }, point)
            }
        }
        let read = try open(point)
        do {
            if case .done = try read.run(until: context.runtime.loopSliceEnd) {
                try read.write(at: shown(point))
                read.close()
                return .done
            }
        } catch let missing as StorageNotResident {
            context.node.data.note(missing)
        } catch {
            read.close()
            throw error
        }
        // Began, but is long: the task goes on with it.
        return .later { try await goOn(read, point) }
    }

    /// Waits until what the read concern asks for may be read.
    func awaitPoint() async throws -> ReadPoint {
        let point = try await context.awaitReadPoint(concern)
        try context.checkReadable()
        return point
    }

    private func goOn(_ read: any RunningRead, _ point: ReadPoint) async throws {
        defer { read.close() }
        try await context.confirming(concern.level == .linearizable) {
            try await context.inReadSlices { try read.run(until: $0).ended }
            return read.tells
        }
        try read.write(at: shown(point))
    }

    private func shown(_ point: ReadPoint) -> Timestamp? {
        if concern.level == .snapshot, case .at(let time) = point { time } else { nil }
    }
}

extension CommandContext {
    /// Runs a part of a read, which has to be confirmed by a majority before it is handed out if it is linearizable
    /// and tells anything.
    func confirming(_ isLinearizable: Bool, _ read: () async throws -> Bool) async throws {
        guard isLinearizable else {
            _ = try await read()
            return
        }
        let term = node.role.term
        try node.role.checkLinearizable()
        if try await read() { try await node.role.confirmLinearizable(since: term, deadline: deadline) }
    }
}
