internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// Carries out what a donor's course says, on the shard's primary. Decides nothing.
final class DonorTask {
    let task: MigrationTask
    private unowned let shard: ShardService
    private var machine: StepMachine<MigrationDonor>
    /// Directives that are being carried out: asked again, they are not begun twice.
    private var underWay: Set<MigrationDonor.Directive> = []
    private var timer: TimerToken?
    private let startedAt: Instant
    private var closedAt: Instant?
    /// The entry of the checkpoint that this primary has found.
    private var recoveredEntry: OpTime?
    /// Fires when it has come to its end, or is not this node's any more.
    let ended: LoopSignal
    private(set) var isOver = false
    private(set) var isAborted = false
    /// Why it gave up, for whoever asked for the move.
    private(set) var reason: String?
    /// The whole range is in the recipient's hands, and its documents may go.
    private let course: MigrationDonor

    init(_ task: MigrationTask, _ shard: ShardService) {
        self.task = task
        self.shard = shard
        course = MigrationDonor(mutants: shard.node.runtime.simulation?.mutants ?? [])
        machine = StepMachine(course, mutants: shard.node.runtime.simulation?.mutants ?? [])
        startedAt = shard.node.runtime.now
        ended = LoopSignal(runtime: shard.node.runtime)
    }

    private var node: Node { shard.node }

    func start() { perform(machine.onStart(.cloning)) }
    func recover(_ checkpoint: MigrationDonor.Checkpoint, entry: OpTime?) {
        recoveredEntry = entry
        closedAt = node.runtime.now
        if checkpoint == .aborting || checkpoint == .aborted { isAborted = true }
        perform(machine.onRecovered(checkpoint))
    }

    /// The node is not primary any more.
    func interrupt() {
        machine.onStepDown()
        finish()
    }

    private func finish() {
        if let timer { node.runtime.cancel(timer) }
        timer = nil
        isOver = true
        shard.allowMultiWrites(task.uuid)
        ended.fire()
    }

    func event(_ event: MigrationDonor.Event, because reason: String? = nil) {
        guard !isOver else { return }
        if case .giveUp = event { self.reason = self.reason ?? reason }
        perform(machine.onEvent(event))
    }

    private func perform(_ directives: [StepMachine<MigrationDonor>.Directive]) {
        for directive in directives {
            guard !isOver else { return }
            switch directive {
            case .persist(let checkpoint):
                node.runtime.spawn("migration") { [self] in await persist(checkpoint) }
            case .awaitMajority:
                node.runtime.spawn("migration") { [self] in await awaitMajority() }
            case .carryOut(let work): carryOut(work)
            case .setTimer: setTimer()
            case .end:
                shard.donorEnded(self)
                finish()
            case .ignored: break
            }
        }
    }

    private func setTimer() {
        if let timer { node.runtime.cancel(timer) }
        timer = node.runtime.schedule(after: Limits.shardingRetryDelay) { [weak self] in
            guard let self, !isOver else { return }
            timer = nil
            if machine.checkpoint == .writesClosed, let closedAt, node.runtime.now - closedAt > Limits.rangeClosedMax {
                event(.giveUp, because: "the recipient has not caught up while writes waited")
            } else if machine.checkpoint == .cloning, node.runtime.now - startedAt > Limits.migrationMax {
                event(.giveUp, because: "it has taken too long")
            }
            perform(machine.onTimer())
            if timer == nil { setTimer() }
        }
    }

    // MARK: Checkpoints

    private func persist(_ checkpoint: MigrationDonor.Checkpoint) async {
        if checkpoint == .aborting || checkpoint == .aborted { isAborted = true }
        if checkpoint == .writesClosed {
            // Statements for all documents that match see the range whole, or not at all.
            guard await shard.awaitMultiWrites(task.uuid, until: node.runtime.now + Limits.multiWritesMax) else {
                shard.allowMultiWrites(task.uuid)
                // A statement is longer than anybody may be held up for.
                machine = StepMachine(course, mutants: node.runtime.simulation?.mutants ?? [])
                perform(machine.onRecovered(.aborting))
                return await persistAborting("a statement for many documents runs for too long")
            }
        }
        while !isOver {
            do {
                try await node.data.whenResident {
                    try node.data.make(try node.ownWriteContext()) { try changes(checkpoint, at: $0) }
                }
                if checkpoint == .writesClosed { closedAt = node.runtime.now }
                // Who began in this very moment may have begun before.
                if case .committed = checkpoint { shard.givenUpAt[task.id] = node.runtime.now + .milliseconds(1) }
                shard.allowMultiWrites(task.uuid)
                return await awaitMajority()
            } catch let error as ServerError where error.code.isStateChange {
                return interrupt()
            } catch {
                node.runtime.log.log(.error, "sharding", "the migration \(task.id) cannot go on: \(error)")
                shard.allowMultiWrites(task.uuid)
                await node.sleep(Limits.shardingRetryDelay)
                if error is InvariantViolation { return node.fail(error) }
            }
        }
    }

    private func persistAborting(_ reason: String) async {
        self.reason = self.reason ?? reason
        isAborted = true
        do {
            try await node.data.whenResident {
                try node.data.make(try node.ownWriteContext()) { try changes(.aborting, at: $0) }
            }
        } catch { return interrupt() }
    }

    private func changes(_ checkpoint: MigrationDonor.Checkpoint, at optime: OpTime) throws -> DocumentChanges {
        var changes = DocumentChanges()
        if case .ended = checkpoint {
            changes.delete(MigrationTask.namespace, task.id.uuid.value)
        } else {
            var document = checkpoint.document
            // Whoever goes on has to know it: a recipient that is drained so far has everything.
            document.append(
                "entry",
                .document(
                    Document { writer in
                        writer.append("ts", timestamp: optime.timestamp)
                        writer.append("t", int64: optime.term)
                    }))
            changes.put(MigrationTask.namespace, task.document(role: "donor", document))
        }
        guard let owned = try shard.ownerships.collection(task.uuid) else { return changes }
        var table = owned.table
        try MigrationDonor.apply(checkpoint, to: &table, task.range, task.id)
        table.prune(before: shard.oldestRead)
        changes.append(try shard.keeping(nil, table, instead: owned.table))
        if case .committed = checkpoint {
            changes.append(
                shard.deleter.scheduling(
                    RangeToDelete(
                        task.id, task.name, task.uuid, task.range,
                        notBefore: node.runtime.wallClock.milliseconds + shard.orphanCleanupDelay.wholeMilliseconds)))
        }
        return changes
    }

    /// Goes on when a majority has all that this primary has.
    private func awaitMajority() async {
        let optime = node.lastOpTime
        while !isOver {
            do {
                try await node.awaitMajority(optime)
                guard node.takesWrites else { return interrupt() }
                return perform(machine.onCommitted(at: recoveredEntry.take() ?? optime))
            } catch {
                guard error.code == .writeConcernTimeout else { return interrupt() }
            }
        }
    }

    // MARK: Work

    private func carryOut(_ work: MigrationDonor.Directive) {
        if work == .deleteRange { return shard.deleter.wake() }
        guard underWay.insert(work).inserted else { return }
        node.runtime.spawn("migration") { [self] in
            defer { underWay.remove(work) }
            do {
                for event in try await ask(work) { self.event(event) }
            } catch let error as ServerError {
                node.runtime.log.log(.info, "sharding", "the migration \(task.id): \(error)")
                if DonorTask.isFinal(error) { event(.giveUp, because: error.message) }
            } catch {
                node.runtime.log.log(.info, "sharding", "the migration \(task.id): \(error)")
            }
        }
    }

    /// Whether asking again cannot help.
    private static func isFinal(_ error: ServerError) -> Bool {
        switch error.code {
        case .duplicateKey, .namespaceExists, .namespaceNotFound, .indexNotFound, .oplogStartMissing, .badValue,
            .illegalOperation, .conflictingOperationInProgress, .operationFailed, .commandNotFound,
            .documentValidationFailure, .cannotCreateIndex:
            true
        default: false
        }
    }

    private func ask(_ work: MigrationDonor.Directive) async throws -> [MigrationDonor.Event] {
        let recipient = shard.other(task.hosts)
        switch work {
        case .begin:
            let reply = try await recipient.run(timeout: Limits.clusterLongCallTimeout) { [self] writer in
                writer.append("_shardsvrReceive", task.id.uuid)
                // To the recipient the other shard is this one.
                shard.describing(task, to: writer)
            }
            if let failure = reply["failure"]?.asString {
                event(.giveUp, because: failure)
                return []
            }
            return reply["steady"]?.asBool == true ? [.recipientSteady] : []
        case .drain(let through):
            let reply = try await recipient.run { [self] writer in
                writer.append("_shardsvrDrain", task.id.uuid)
                writer.append("through", through)
            }
            if let failure = reply["failure"]?.asString {
                event(.giveUp, because: failure)
                return []
            }
            return OpTime(reading: reply["drained"]).map { [.recipientDrained(through: $0)] } ?? []
        case .askToCommit: return try await decide("commit")
        case .askToAbort: return try await decide("abort")
        case .look: return try await decide("outcome")
        case .tell(let outcome):
            let reply = try await recipient.run { [self] writer in
                writer.append("_shardsvrSettle", task.id.uuid)
                for (key, value) in outcome.document.fields { writer.append(key, value) }
            }
            return reply["settled"]?.asBool == true ? [.recipientSettled] : []
        case .deleteRange: return []
        }
    }

    private func decide(_ request: StaticString) async throws -> [MigrationDonor.Event] {
        let reply = try await shard.config().run { [self] writer in
            writer.append("_configsvrDecideMigration", task.id.uuid)
            writer.append("request", string: request)
        }
        return [MigrationOutcome(reply).map { .decided($0) } ?? .undecided]
    }
}
