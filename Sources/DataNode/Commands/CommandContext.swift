internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication
internal import Wire

/// One command of a data node in flight.
final class CommandContext: RequestContext {
    let node: Node
    let registered: DataCommand
    /// The collection that was last found for the command's first field.
    var foundCollection: Collection?
    /// The command's variables (`let`), once they are evaluated.
    var variables: [String: Value?] = [:]
    /// What it was routed by, once its versions were found to be the shard's.
    var routed: RoutedBy?
    /// Since when a range that it has met is closed.
    var metClosedRangeAt: Instant?
    /// `stmtIds`, once they were read.
    var readStatementIDs: [Int32]?
    /// What the profiler gathers, when it is to.
    var profiled: ProfiledCommand?
    /// What the reply of a command that has written waits for; a null optime for a write that is not logged.
    var awaited: (optime: OpTime, concern: WriteConcern)?

    init(_ call: consuming Call, _ command: DataCommand, _ node: Node) {
        self.node = node
        registered = command
        super.init(consume call, command)
        guard node.profiler.isActive else { return }
        // What was noted is there for this command to see, and nobody is watched who still waits.
        node.profiler.drain()
        node.data.observe(nil)
        profiled = node.profiler.begin(command, arguments, startedAt)
    }

    var usage: CollectionUsage.Kind { registered.usage }
    var isProfiled: Bool { registered.isProfiled }
    var isExplain: Bool { registered.isExplain }

    override func run() throws -> CommandOutcome { try registered.run(self) }

    override func begin() throws -> CommandOutcome {
        guard isFromRouter else {
            node.data.isRouted = false
            return try beginAdmitted()
        }
        if let (request, namespace) = try routedRequest(), let shard = node.shard {
            guard case .agreed(let routed)? = try? shard.check(request, namespace) else {
                return .later { [self] in
                    routed = try await shard.admit(request, namespace, self)
                    try await asLongOperation { [self] in try await runToEnd() }
                }
            }
            self.routed = routed
        }
        node.data.isRouted = true
        defer { node.data.isRouted = false }
        let outcome = try beginAdmitted()
        guard case .later(let work) = outcome else { return outcome }
        return .later { [self] in try await asLongOperation(work) }
    }

    /// What takes more than one slice is seen by moves of ranges, and by the deletion of what they leave behind.
    private func asLongOperation(_ work: () async throws -> Void) async throws {
        guard let owned = routed?.owned, let shard = node.shard else { return try await work() }
        pause()
        let id = await shard.beginLongOperation(
            LongOperation(
                uuid: owned.collection.uuid, isWrite: command.traits.contains(.write), since: startedAt), on: connection)
        resume()
        defer { shard.endLongOperation(id) }
        try await work()
    }

    private func beginAdmitted() throws -> CommandOutcome {
        if let wanted = try causalWait() {
            return .later { [self] in
                try await node.role.awaitReadConcern(wanted, deadline: deadline, on: connection)
                try await runToEnd()
            }
        }
        if command.traits.contains(.write), node.isHeldUp {
            return .later { [self] in try await node.runSlowed(self) }
        }
        if lacksVariables { return .later { [self] in try await runToEnd() } }
        do {
            return try registered.run(self)
        } catch let missing as StorageNotResident {
            return .later { [self] in
                try await load(missing)
                try await runToEnd()
            }
        }
    }

    /// Commands read what they need before they change anything, or work in slices: one that misses something begins
    /// again.
    override func runInTask() async throws -> CommandOutcome {
        while true {
            // Who has waited for something else may find it locked by now.
            if command.traits.contains(.write) { try await awaitUnlock() }
            do { return try run() } catch let missing as StorageNotResident { try await load(missing) }
        }
    }

    private func load(_ missing: StorageNotResident) async throws {
        reply.restart()
        node.data.note(missing)
        try await endSlice()
        try checkDeadline()
    }

    override func prepare() async throws { try await evaluateVariables() }

    /// What a command that reads no documents, or writes, has to wait for so that its session sees what it has seen.
    private func causalWait() throws(ServerError) -> ReadConcern? {
        guard let view = arguments.readConcern, !command.traits.contains(.readConcern) else { return nil }
        let concern = try ReadConcern(view)
        guard let after = concern.afterClusterTime, node.role.isReplicated, after > node.lastOpTime.timestamp else {
            return nil
        }
        var wanted = ReadConcern()
        wanted.afterClusterTime = after
        return wanted
    }

    // MARK: Waiting

    override func pause() {
        super.pause()
        node.data.isRouted = false
        if profiled != nil { node.data.observe(nil) }
    }

    override func resume() {
        super.resume()
        node.data.isRouted = isFromRouter
        if let profiled { node.data.observe(profiled.observation) }
    }

    override func hold(responseBytes: Int, _ completion: @escaping (ServerError?) -> Void) {
        foundCollection = usedCollection
        if profiled != nil { noteProfiled(responseBytes: responseBytes, failing: nil) }
        guard let awaited else { return completion(nil) }
        awaitWriteConcern(awaited.concern, at: awaited.optime, completion)
    }

    private func awaitWriteConcern(
        _ concern: WriteConcern, at target: OpTime, _ completion: @escaping (ServerError?) -> Void
    ) {
        guard target.isNull else {
            return node.role.awaitWriteConcern(
                target, concern, deadline: deadline, on: connection, completion: completion)
        }
        // What has no optime is not replicated: all that may be asked for is the disk.
        let end = concern.deadline(from: runtime.now) ?? .distantFuture
        let isItsOwn = end <= deadline
        node.data.durability.whenDurable(until: min(end, deadline)) { isDurable in
            if isDurable { return completion(nil) }
            let error =
                isItsOwn
                ? ServerError(.writeConcernTimeout, "waiting for the journal timed out")
                : ServerError(.maxTimeMSExpired, "operation exceeded time limit")
            completion(ReplicaSetRole.explained(error, by: concern, timedOut: isItsOwn))
        }
    }

    /// Waits like the reply of a write does, and writes `writeConcernError` when it fails.
    override func awaitHeld() async throws {
        guard let awaited, let failure = await wait(for: awaited.concern, at: awaited.optime) else { return }
        reportedWriteConcernError = true
        frontend.appendWriteConcernError(
            failure, isRetryableWrite: arguments.transactionNumber != nil, to: writer)
    }

    private func wait(for concern: WriteConcern, at target: OpTime) async -> ServerError? {
        pause()
        defer { resume() }
        return await withUnsafeContinuation { (continuation: UnsafeContinuation<ServerError?, Never>) in
            awaitWriteConcern(concern, at: target) { continuation.resume(returning: $0) }
        }
    }

    /// What made a write fail may be undone until a majority has it: a client that asked for certainty learns of both,
    /// as MongoDB's do.
    override func wait(after error: any Error) -> (() async -> ServerError?)? {
        guard let error = error as? ServerError, !error.code.concernsCommand, error.code != .interrupted,
            !command.traits.isDisjoint(with: [.write, .writeConcern]), !request.isUnacknowledged,
            arguments.writeConcern?.isEmpty == false, let concern = try? writeConcern(), (try? checkWritable()) != nil,
            let awaited = awaitedWrite(nil, concern)
        else { return nil }
        return { [self] in await wait(for: awaited.concern, at: awaited.optime) }
    }

    // MARK: The end

    override func didEnd(responseBytes: Int, failing error: (any Error)?) {
        node.data.isRouted = false
        guard error == nil else { return noteProfiled(responseBytes: responseBytes, failing: error) }
        let isOnData = !command.traits.isDisjoint(with: [.read, .retryable])
        let time = node.noteEnd(registered, since: startedAt, isOnData ? usedCollection : nil)
        if profiled != nil || time >= node.profiler.slowNanoseconds {
            noteProfiled(responseBytes: responseBytes, failing: nil)
        }
    }

    override func didEndHeld() {
        let time = node.noteEnd(registered, since: startedAt, foundCollection)
        guard time >= node.profiler.slowNanoseconds, isProfiled, let operation else { return }
        node.profiler.end(operation, elapsed: .nanoseconds(time))
    }

    /// Over, well or not: the profiler looks whether it is worth a note.
    private func noteProfiled(responseBytes: Int, failing error: (any Error)?) {
        let elapsed = runtime.now - startedAt - idleTime
        guard profiled != nil || elapsed.nanoseconds >= node.profiler.slowNanoseconds else { return }
        node.profiler.end(self, elapsed: elapsed, responseBytes: responseBytes, failing: error)
    }

    /// The collection that the command was about, if it names one that exists.
    private var usedCollection: Collection? {
        if let collection = foundCollection { return collection }
        guard case .getmore = usage else { return existingCollection() }
        guard let database = arguments.database, let value = body["collection"], value.type == .string,
            let name = value.asStringBytes
        else { return nil }
        return node.data.catalog.find(database: database, collection: name)
    }
}
