internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// Carries out what a recipient's course says, on the shard's primary: copies the range, follows the donor, owns it.
final class RecipientTask {
    let task: MigrationTask
    private unowned let shard: ShardService
    private var machine: StepMachine<MigrationRecipient>
    private var timer: TimerToken?
    private var isCopying = false
    private var isAsking = false
    private var isDeleting = false
    /// Everything up to here is stored, what sessions have done too.
    private var stored = OpTime.null
    /// The donor asked for everything up to here.
    private var target: OpTime?
    private(set) var isSteady = false
    /// Why it cannot be: the donor gives up then.
    private(set) var failure: String?
    /// Fires when something that the donor asks about has changed.
    let changed: LoopSignal
    private(set) var isOver = false
    private let mutants: Mutants

    init(_ task: MigrationTask, _ shard: ShardService) {
        self.task = task
        self.shard = shard
        mutants = shard.node.runtime.simulation?.mutants ?? []
        machine = StepMachine(MigrationRecipient(mutants: mutants), mutants: mutants)
        changed = LoopSignal(runtime: shard.node.runtime)
    }

    private var node: Node { shard.node }

    /// What a majority has everything up to; nil before.
    var drained: OpTime? { if case .drained(let through)? = machine.checkpoint { through } else { nil } }
    /// Whether the outcome is written down.
    var isSettled: Bool { machine.isOver }

    func start() { perform(machine.onStart(.receiving)) }
    func recover(_ checkpoint: MigrationRecipient.Checkpoint) { perform(machine.onRecovered(checkpoint)) }

    func interrupt() {
        machine.onStepDown()
        finish()
    }

    private func finish() {
        if let timer { node.runtime.cancel(timer) }
        timer = nil
        isOver = true
        changed.fire()
    }

    func event(_ event: MigrationRecipient.Event) {
        guard !isOver else { return }
        perform(machine.onEvent(event))
    }

    /// The donor has closed the range for writes.
    func drain(through: OpTime) {
        target = through
        event(.drainRequested(through: through, stored: stored))
    }

    private func perform(_ directives: [StepMachine<MigrationRecipient>.Directive]) {
        for directive in directives {
            guard !isOver else { return }
            switch directive {
            case .persist(let checkpoint):
                node.runtime.spawn("migration") { [self] in await persist(checkpoint) }
            case .awaitMajority: node.runtime.spawn("migration") { [self] in await awaitMajority() }
            case .carryOut(let work): carryOut(work)
            case .setTimer: setTimer()
            case .end:
                shard.recipientEnded(self)
                finish()
            case .ignored: break
            }
        }
        changed.fire()
    }

    private func setTimer() {
        if let timer { node.runtime.cancel(timer) }
        timer = node.runtime.schedule(after: Limits.shardingRetryDelay) { [weak self] in
            guard let self, !isOver else { return }
            timer = nil
            perform(machine.onTimer())
            if timer == nil { setTimer() }
        }
    }

    // MARK: Checkpoints

    private func persist(_ checkpoint: MigrationRecipient.Checkpoint) async {
        while !isOver {
            do {
                try await node.data.whenResident {
                    try node.data.make(try changes(checkpoint), try node.ownWriteContext())
                }
                return await awaitMajority()
            } catch let error as ServerError where error.code.isStateChange {
                return interrupt()
            } catch {
                node.runtime.log.log(.error, "sharding", "the migration \(task.id) cannot go on: \(error)")
                await node.sleep(Limits.shardingRetryDelay)
                if error is InvariantViolation { return node.fail(error) }
            }
        }
    }

    private func changes(_ checkpoint: MigrationRecipient.Checkpoint) throws -> DocumentChanges {
        var changes = DocumentChanges()
        switch checkpoint {
        case .owning(let validAfter, let major):
            changes.delete(MigrationTask.namespace, task.id.uuid.value)
            guard let owned = try shard.ownerships.collection(task.uuid) else {
                throw InvariantViolation("\(task.name) is to be owned in part, and is not known")
            }
            var table = owned.table
            try table.receive(task.range, validAfter: validAfter, major: major)
            table.prune(before: shard.oldestRead)
            changes.append(try shard.keeping(nil, table, instead: owned.table))
        case .discarded: changes.delete(MigrationTask.namespace, task.id.uuid.value)
        case .receiving, .drained, .discarding:
            changes.put(MigrationTask.namespace, task.document(role: "recipient", checkpoint.document))
        }
        return changes
    }

    private func awaitMajority() async {
        let optime = node.lastOpTime
        while !isOver {
            do {
                try await node.awaitMajority(optime)
                guard node.takesWrites else { return interrupt() }
                return perform(machine.onCommitted(at: optime))
            } catch {
                guard error.code == .writeConcernTimeout else { return interrupt() }
            }
        }
    }

    // MARK: Work

    private func carryOut(_ work: MigrationRecipient.Directive) {
        switch work {
        case .copy(let upToCommitPoint): copy(upToCommitPoint)
        case .askOutcome: askOutcome()
        case .deleteCopies: deleteCopies()
        // The donor asks, and is answered from what this knows.
        case .tellSteady: isSteady = true
        case .tellDrained, .tellSettled: break
        }
        changed.fire()
    }

    func askOutcome() {
        guard !isAsking else { return }
        isAsking = true
        node.runtime.spawn("migration") { [self] in
            defer { isAsking = false }
            guard let outcome = try? await shard.outcome(of: task.id) else { return }
            event(.decided(outcome))
        }
    }

    private func deleteCopies() {
        guard !isDeleting else { return }
        isDeleting = true
        node.runtime.spawn("migration") { [self] in
            defer { isDeleting = false }
            do {
                try await shard.deleter.delete(task.range, of: task.uuid, discarding: task.id)
                event(.copiesDeleted)
            } catch {
                node.runtime.log.log(.info, "sharding", "copies of the migration \(task.id) are still here: \(error)")
            }
        }
    }

    private func copy(_ upToCommitPoint: Bool) {
        guard !isCopying, failure == nil else { return }
        isCopying = true
        node.runtime.spawn("migration") { [self] in
            defer { isCopying = false }
            do {
                let copy = RangeCopy(task, shard, upToCommitPoint: upToCommitPoint)
                try await copy.run(
                    mayStore: { [self] in !isOver && machine.mayStore(mutants: mutants) },
                    sessionsUpTo: { [self] in target },
                    caughtUp: { [self] through, isNear, hasSessions in
                        if hasSessions { stored = through }
                        if isNear { event(.caughtUp(through: through)) }
                        if let target { event(.drainRequested(through: target, stored: stored)) }
                        changed.fire()
                    })
            } catch let error as ServerError
                where error.code == .duplicateKey || error.code == .oplogStartMissing
                || error.code == .namespaceExists || error.code == .indexNotFound || error.code == .operationFailed
                || error.code == .namespaceNotFound
            {
                failure = error.message
            } catch {
                node.runtime.log.log(.info, "sharding", "copying of the migration \(task.id): \(error)")
            }
            changed.fire()
        }
    }
}
