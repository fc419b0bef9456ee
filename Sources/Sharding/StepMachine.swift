public import Core

/// A protocol between shards as a course of checkpoints. Not a plug point: a migration's donor and recipient and range
/// deletion are such courses, and what coordinates a definition will be.
///
/// A course is a value and decides only. What it says at a checkpoint may be carried out any number of times: by the
/// primary that reached it, by others after it, and again when no answer came.
public protocol Course: Hashable, Sendable {
    /// A step that a majority has written down. Its document is written in one batch with the change of data that
    /// belongs to it.
    associatedtype Checkpoint: Hashable, Sendable
    /// What happens.
    associatedtype Event: Sendable
    /// What the shell is to do.
    associatedtype Directive: Hashable, Sendable

    /// What is to be done at a checkpoint.
    /// - Parameters:
    ///   - time: of the entry that wrote it.
    ///   - isRecovered: whether another primary, or an earlier run of this one, reached it.
    func work(at checkpoint: Checkpoint, time: OpTime, isRecovered: Bool) -> [Directive]
    /// What an event means at a checkpoint.
    func on(_ event: Event, at checkpoint: Checkpoint, time: OpTime) -> CourseStep<Checkpoint, Directive>
    /// Whether nothing follows. Events are still answered.
    func isEnd(_ checkpoint: Checkpoint) -> Bool
}

/// What a course makes of an event.
public enum CourseStep<Checkpoint: Hashable & Sendable, Directive: Hashable & Sendable>: Hashable, Sendable {
    /// Do this, and stay.
    case stay([Directive])
    /// Write that checkpoint; its work comes when a majority has it.
    case advance(Checkpoint)
    /// It changes nothing here.
    case ignored(String)
}

/// Runs a course on the primary of a replica set: what may be lost with this primary is never acted upon.
///
/// While a checkpoint is on its way to a majority nothing else happens: events are dropped, and whoever sent them asks
/// again. A new primary finds the last checkpoint in its data, and waits for a majority too before it goes on from
/// there: what it has need not be what the set will keep.
public struct StepMachine<Steps: Course>: Hashable, Sendable {
    /// For the shell, in this order.
    public enum Directive: Hashable, Sendable {
        /// Write the checkpoint with the change of data that belongs to it, in one batch; when a majority has the
        /// entry, call `onCommitted`.
        case persist(Steps.Checkpoint)
        /// The checkpoint is in the data already: call `onCommitted` when a majority has all of this primary's oplog.
        case awaitMajority(Steps.Checkpoint)
        /// Do what the course says.
        case carryOut(Steps.Directive)
        /// Call `onTimer` after `Limits.shardingRetryDelay`, in place of any timer before.
        case setTimer
        /// The course is over.
        case end
        /// Why nothing happens.
        case ignored(String)
    }

    /// What decides.
    public let course: Steps
    private let mutants: Mutants
    /// The last checkpoint that a majority has, and its entry; nil before the first.
    public private(set) var checkpoint: Steps.Checkpoint?
    private var time = OpTime.null
    /// On its way to a majority.
    public private(set) var pending: Steps.Checkpoint?
    private var isRecovered = false
    /// This node is not the primary any more.
    private var isInterrupted = false

    /// A machine that has not begun.
    public init(_ course: Steps, mutants: Mutants = []) {
        self.course = course
        self.mutants = mutants
    }

    /// Whether the course is over.
    public var isOver: Bool { checkpoint.map(course.isEnd) ?? false }

    /// Begins.
    public mutating func onStart(_ first: Steps.Checkpoint) -> [Directive] {
        guard checkpoint == nil, pending == nil else { return [.ignored("it has begun")] }
        return persist(first)
    }

    /// Goes on where another primary was.
    public mutating func onRecovered(_ found: Steps.Checkpoint) -> [Directive] {
        guard checkpoint == nil, pending == nil else { return [.ignored("it has begun")] }
        pending = found
        isRecovered = true
        return [.awaitMajority(found)]
    }

    /// A majority has the pending checkpoint.
    /// - Parameter time: of its entry.
    public mutating func onCommitted(at time: OpTime) -> [Directive] {
        guard !isInterrupted else { return [.ignored("the primary has stepped down")] }
        guard let reached = pending else { return [.ignored("no checkpoint is on its way")] }
        pending = nil
        checkpoint = reached
        self.time = time
        defer { isRecovered = false }
        return work(at: reached)
    }

    /// Something happened.
    public mutating func onEvent(_ event: Steps.Event) -> [Directive] {
        guard !isInterrupted else { return [.ignored("the primary has stepped down")] }
        guard pending == nil, let checkpoint else { return [.ignored("a checkpoint is on its way to a majority")] }
        switch course.on(event, at: checkpoint, time: time) {
        case .stay(let directives): return directives.map { .carryOut($0) }
        case .advance(let next): return persist(next)
        case .ignored(let why): return [.ignored(why)]
        }
    }

    /// No answer came.
    public mutating func onTimer() -> [Directive] {
        guard !isInterrupted, pending == nil, let checkpoint, !isOver else {
            return [.ignored("there is nothing to repeat")]
        }
        return work(at: checkpoint)
    }

    /// Nothing is done any more by this node: another primary recovers.
    public mutating func onStepDown() { isInterrupted = true }

    private mutating func persist(_ next: Steps.Checkpoint) -> [Directive] {
        pending = next
        // The planted bug does the work of a step that may yet be lost.
        let early = mutants.isActive(.checkpointNotAwaited) ? work(at: next) : []
        return [.persist(next)] + early
    }

    private func work(at checkpoint: Steps.Checkpoint) -> [Directive] {
        course.work(at: checkpoint, time: time, isRecovered: isRecovered).map { .carryOut($0) }
            + [course.isEnd(checkpoint) ? .end : .setTimer]
    }
}
