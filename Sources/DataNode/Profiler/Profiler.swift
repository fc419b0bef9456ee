internal import BSON
internal import Core
internal import Data
internal import Frontend

/// The database profiler of a node, and its log of slow operations: which databases are watched, and the entries that
/// wait to be written to their `system.profile`.
///
/// An entry is written in a step of its own, by a job behind the command it tells of or before the next command,
/// whichever comes first: who asks after a reply finds what it tells of.
final class Profiler {
    /// Set once, when the node is made.
    unowned var node: Node!
    /// The level of each database that has one above 0.
    private var levels: [String: Int] = [:]
    /// Whether any database is watched: all that a command pays for when none is.
    private(set) var isActive = false
    /// From how many milliseconds on an operation is slow (`slowms`).
    var slowMillis = Limits.slowMillisDefault {
        didSet { slowNanoseconds = Duration.milliseconds(slowMillis).nanoseconds }
    }
    private(set) var slowNanoseconds = Duration.milliseconds(Limits.slowMillisDefault).nanoseconds
    /// The share of slow operations that is noted.
    var sampleRate = 1.0

    private var queue: [(database: String, entry: Document)] = []
    private var queuedBytes = 0
    private var lost = 0
    private var isScheduled = false

    func level(of database: String) -> Int { levels[database] ?? 0 }

    func setLevel(_ level: Int, of database: String) {
        levels[database] = level > 0 ? level : nil
        isActive = !levels.isEmpty
    }

    /// The database is gone, and with it what was profiled there.
    func forget(_ database: String) {
        setLevel(0, of: database)
        queue.removeAll { $0.database == database }
        queuedBytes = queue.reduce(0) { $0 + $1.entry.byteCount }
    }

    // MARK: Commands

    /// A command begins: it is watched if its database is.
    func begin(_ command: DataCommand, _ arguments: GenericArguments, _ startedAt: Instant) -> ProfiledCommand? {
        guard command.isProfiled, let name = arguments.database else { return nil }
        let database = String(decoding: name, as: UTF8.self)
        guard level(of: database) > 0 else { return nil }
        let profiled = ProfiledCommand(database: database, startedAt: startedAt)
        node.data.observe(profiled.observation)
        return profiled
    }

    /// A command is over and its reply is built.
    func end(
        _ context: CommandContext, elapsed: Duration, responseBytes: Int, failing error: (any Error)?
    ) {
        guard context.isProfiled else { return }
        let profiled = context.profiled
        let command = context.command
        if profiled != nil { node.data.observe(nil) }
        // What its statements did is noted already.
        let hasStatements = context.usage == .update || context.usage == .remove
        if profiled != nil, hasStatements, error == nil { return }
        let database = context.database
        var entry = ProfileEntry(
            operation: command.operationType,
            namespace: profiled?.cursor?.namespace ?? OperationReport.namespace(of: context.body, command, database),
            command: OperationReport.shown(context.body, most: Limits.profiledCommandBytesMax), elapsed: elapsed,
            seen: profiled?.observation)
        entry.cursor = profiled?.cursor
        entry.isCursorExhausted = profiled?.isCursorExhausted ?? false
        entry.responseBytes = responseBytes
        entry.error = error.map(Self.shown)
        if let inserted = profiled?.inserted { entry.counts = [("ninserted", inserted)] }
        if context.usage == .commands, let work = entry.work {
            let counts: [(StaticString, Int64)] = [
                ("ninserted", work.inserted), ("nModified", work.updated), ("ndeleted", work.deleted),
            ]
            entry.counts = counts.filter { $0.1 > 0 }.map { ($0, Int(clamping: $1)) }
        }
        submit(entry, of: database, context.connection)
    }

    /// A command that waited for its write concern is answered; only what the connection keeps of it is left.
    func end(_ operation: Operation, elapsed: Duration) {
        guard isSlow(elapsed) else { return }
        let entry = ProfileEntry(
            operation: operation.command.operationType, namespace: OperationReport.namespace(of: operation),
            command: operation.document, elapsed: elapsed, seen: nil)
        node.runtime.log.log(.info, "command", entry.line())
    }

    /// An operation is over: notes it where it has to be.
    func submit(_ entry: ProfileEntry, of database: String, _ connection: ClientConnection) {
        let level = level(of: database)
        let isSlow = isSlow(entry.elapsed)
        if isSlow { node.runtime.log.log(.info, "command", entry.line()) }
        guard level >= 2 || level == 1 && isSlow else { return }
        add(entry.document(at: node.runtime.wallClock, connection), of: database)
    }

    private func isSlow(_ elapsed: Duration) -> Bool {
        guard elapsed.nanoseconds >= slowNanoseconds else { return false }
        if sampleRate >= 1 { return true }
        return Double(node.runtime.randomNumber() >> 11) * 0x1p-53 < sampleRate
    }

    private static func shown(_ error: any Error) -> ServerError {
        (error as? ServerError) ?? (error as? InjectedFailure)?.error
            ?? ServerError(.internalError, String(describing: error))
    }

    // MARK: Entries

    private func add(_ entry: Document, of database: String) {
        guard queuedBytes + entry.byteCount <= Limits.profilerQueueBytesMax else {
            lost += 1
            return
        }
        queue.append((database, entry))
        queuedBytes += entry.byteCount
        schedule()
    }

    private func schedule() {
        guard !isScheduled else { return }
        isScheduled = true
        node.runtime.enqueue { [weak self] in
            guard let self else { return }
            isScheduled = false
            drain()
        }
    }

    /// Writes what waits, for one slice of the loop; a job goes on behind it.
    func drain() {
        guard !queue.isEmpty else { return }
        guard !node.isStopped else { return queue.removeAll() }
        guard !node.lock.isHeld else { return }
        let end = node.runtime.loopSliceEnd
        var written = 0
        repeat {
            guard write(queue[written].entry, of: queue[written].database) else { break }
            written += 1
        } while written < queue.count && node.runtime.now < end && !node.isStopped
        for (_, entry) in queue.prefix(written) { queuedBytes -= entry.byteCount }
        queue.removeFirst(written)
        node.dataAppended.fire()
        if lost > 0, queue.isEmpty {
            node.runtime.log.log(.warning, "command", "the profiler has lost \(lost) entries: too many waited")
            lost = 0
        }
        if !queue.isEmpty { schedule() }
    }

    /// The lock of `fsync` was given back.
    func goOn() { if !queue.isEmpty { schedule() } }

    /// Goes on when what the next entry needs is in memory.
    private func awaitStorage(_ missing: StorageNotResident) {
        guard !isScheduled, let node else { return }
        isScheduled = true
        node.runtime.spawn("profiler") { [self, node] in
            do { try await node.data.prefetch(missing) } catch { node.fail(error) }
            isScheduled = false
            drain()
        }
    }

    /// False when it has to wait for the storage; the next try is made behind that.
    private func write(_ entry: Document, of database: String) -> Bool {
        // Switched off and dropped meanwhile: it is not made again for what came before.
        guard level(of: database) > 0 || node.data.catalog.find(.profile(of: database)) != nil else { return true }
        do {
            try entry.withView { try node.data.insertProfile($0, of: database) }
        } catch let missing as StorageNotResident {
            awaitStorage(missing)
            return false
        } catch let error where error is any BrokenPromise {
            node.fail(error)
        } catch {
            node.runtime.log.log(.warning, "command", "an entry of the profiler of \(database) is lost: \(error)")
        }
        return true
    }
}
