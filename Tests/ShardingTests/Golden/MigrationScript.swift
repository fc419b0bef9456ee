import BSON
import Core
import Testing

@testable import Sharding

/// Scripts of a migration's donor, recipient and decision, and of range deletion. The shell's part is played by the
/// script: it says when a majority has what was written.
struct MigrationScript {
    private var donor = StepMachine(MigrationDonor())
    private var recipient = StepMachine(MigrationRecipient())
    private var deletion = StepMachine(RangeDeletion())
    private var registry = MigrationRegistry()
    private var table: RoutingTable?

    private static let id = MigrationID(CollectionUUID(high: 1, low: 1))

    init() throws {
        table = try RoutingTable(
            Namespace("d", "c"),
            chunks: [
                Chunk(
                    .all, on: ShardID("d"),
                    PlacementVersion(Epoch(Timestamp(seconds: 1, increment: 1)), major: 4, minor: 2))
            ], majors: [ShardID("d"): 4, ShardID("r"): 3])
    }

    mutating func run(_ command: GoldenFile.Command) throws -> [String] {
        switch command.name {
        case "donor": return try runDonor(command).map(\.golden)
        case "recipient": return try runRecipient(command).map(\.golden)
        case "config": return try runConfig(command).map(\.golden)
        case "deletion": return try runDeletion(command).map(\.golden)
        default: throw GoldenFile.Failure("unknown command: \(command.name)")
        }
    }

    private static func optime(_ text: String?) throws -> OpTime {
        guard let text, let number = UInt32(text) else { throw GoldenFile.Failure("no time: \(text ?? "none")") }
        return OpTime(term: 1, timestamp: Timestamp(seconds: 1, increment: number))
    }

    private static func outcome(_ command: GoldenFile.Command) throws -> MigrationOutcome {
        guard let moment = command.fields["committed"] else { return .aborted }
        return .committed(
            validAfter: try optime(moment).timestamp, major: UInt32(command.fields["major"] ?? "") ?? 0)
    }

    private mutating func runDonor(
        _ command: GoldenFile.Command
    ) throws -> [StepMachine<MigrationDonor>.Directive] {
        switch command.arguments.first {
        case "new": donor = StepMachine(MigrationDonor())
        case "start": return donor.onStart(.cloning)
        case "majority": return donor.onCommitted(at: try Self.optime(command.fields["at"]))
        case "recover":
            let checkpoints: [String: MigrationDonor.Checkpoint] = [
                "cloning": .cloning, "writes-closed": .writesClosed, "reads-closed": .readsClosed,
                "aborting": .aborting, "aborted": .aborted,
            ]
            guard let found = checkpoints[command.arguments.last ?? ""] else { break }
            donor = StepMachine(MigrationDonor())
            return donor.onRecovered(found)
        case "steady": return donor.onEvent(.recipientSteady)
        case "drained": return donor.onEvent(.recipientDrained(through: try Self.optime(command.fields["through"])))
        case "decided": return donor.onEvent(.decided(try Self.outcome(command)))
        case "undecided": return donor.onEvent(.undecided)
        case "settled": return donor.onEvent(.recipientSettled)
        case "give-up": return donor.onEvent(.giveUp)
        case "timer": return donor.onTimer()
        case "step-down": donor.onStepDown()
        default: throw GoldenFile.Failure("unknown: \(command.arguments)")
        }
        return []
    }

    private mutating func runRecipient(
        _ command: GoldenFile.Command
    ) throws -> [StepMachine<MigrationRecipient>.Directive] {
        switch command.arguments.first {
        case "new": recipient = StepMachine(MigrationRecipient())
        case "start": return recipient.onStart(.receiving)
        case "majority": return recipient.onCommitted(at: try Self.optime(command.fields["at"]))
        case "recover":
            let found: MigrationRecipient.Checkpoint =
                switch command.arguments.last {
                case "drained": .drained(through: try Self.optime(command.fields["through"]))
                case "discarding": .discarding
                default: .receiving
                }
            recipient = StepMachine(MigrationRecipient())
            return recipient.onRecovered(found)
        case "caught-up": return recipient.onEvent(.caughtUp(through: try Self.optime(command.fields["through"])))
        case "drain":
            return recipient.onEvent(
                .drainRequested(
                    through: try Self.optime(command.fields["through"]),
                    stored: try Self.optime(command.fields["stored"])))
        case "decided": return recipient.onEvent(.decided(try Self.outcome(command)))
        case "deleted": return recipient.onEvent(.copiesDeleted)
        case "timer": return recipient.onTimer()
        default: throw GoldenFile.Failure("unknown: \(command.arguments)")
        }
        return []
    }

    private mutating func runConfig(_ command: GoldenFile.Command) throws -> [MigrationRegistry.Directive] {
        let moment = { try Self.optime(command.fields["at"]).timestamp }
        switch command.arguments.first {
        case "new": registry = MigrationRegistry()
        case "register":
            let epoch = table?.version.epoch ?? Epoch(.zero)
            return registry.onRegister(
                Self.id,
                .init(
                    donor: ShardID(command.fields["donor"] ?? "d"), recipient: ShardID("r"), range: .all, epoch: epoch))
        case "majority": return registry.onCommitted(Self.id)
        case "recover":
            registry = MigrationRegistry(found: registry.records)
            registry.onRecovered()
        case "commit": return registry.onRequest(.commit, Self.id, table, now: try moment())
        case "abort": return registry.onRequest(.abort, Self.id, table, now: .zero)
        case "ask": return registry.onRequest(.outcome, Self.id, table, now: .zero)
        case "dropped": table = nil
        default: throw GoldenFile.Failure("unknown: \(command.arguments)")
        }
        return []
    }

    private mutating func runDeletion(_ command: GoldenFile.Command) throws -> [StepMachine<RangeDeletion>.Directive] {
        switch command.arguments.first {
        case "start": return deletion.onStart(.pending)
        case "majority": return deletion.onCommitted(at: try Self.optime(command.fields["at"]))
        case "ready": return deletion.onEvent(.ready)
        case "not-needed": return deletion.onEvent(.notNeeded)
        case "due": return deletion.onEvent(.due)
        case "deleted": return deletion.onEvent(.deleted(last: command.has("last")))
        case "timer": return deletion.onTimer()
        default: throw GoldenFile.Failure("unknown: \(command.arguments)")
        }
    }
}

extension OpTime {
    fileprivate var short: String { "\(timestamp.increment)" }
}

/// What a script shows in its own words.
private protocol Golden {
    var golden: String { get }
}

extension StepMachine.Directive where Steps.Checkpoint: Golden, Steps.Directive: Golden {
    fileprivate var golden: String {
        switch self {
        case .persist(let checkpoint): "write: \(checkpoint.golden)"
        case .awaitMajority(let checkpoint): "wait until a majority has: \(checkpoint.golden)"
        case .carryOut(let work): work.golden
        case .setTimer: "set the timer"
        case .end: "end"
        case .ignored(let why): "ignored: \(why)"
        }
    }
}

extension RangeDeletion.Checkpoint: Golden {
    fileprivate var golden: String { "\(self)" }
}

extension RangeDeletion.Directive: Golden {
    fileprivate var golden: String {
        switch self {
        case .awaitReaders: "wait for readers"
        case .deleteSlice: "delete some documents"
        }
    }
}

extension MigrationOutcome {
    fileprivate var golden: String {
        switch self {
        case .committed(let moment, let major): "committed, valid after \(moment.increment), major \(major)"
        case .aborted: "aborted"
        }
    }
}

extension MigrationDonor.Checkpoint: Golden {
    fileprivate var golden: String {
        switch self {
        case .cloning: "cloning"
        case .writesClosed: "writes are closed"
        case .readsClosed: "reads are closed"
        case .aborting: "giving up"
        case .committed(let moment, let major): "the range is given up, valid after \(moment.increment), major \(major)"
        case .aborted: "the range is open again"
        case .ended(let committed): committed ? "ended, committed" : "ended, aborted"
        }
    }
}

extension MigrationDonor.Directive: Golden {
    fileprivate var golden: String {
        switch self {
        case .begin: "tell the recipient to begin"
        case .drain(let through): "tell the recipient to copy up to \(through.short)"
        case .askToCommit: "ask config to commit"
        case .askToAbort: "ask config to abort"
        case .look: "look at config"
        case .tell(let outcome): "tell the recipient: \(outcome.golden)"
        case .deleteRange: "have the range deleted"
        }
    }
}

extension MigrationRecipient.Checkpoint: Golden {
    fileprivate var golden: String {
        switch self {
        case .receiving: "receiving"
        case .drained(let through): "drained up to \(through.short)"
        case .owning(let moment, let major): "the range is owned, valid after \(moment.increment), major \(major)"
        case .discarding: "discarding"
        case .discarded: "discarded"
        }
    }
}

extension MigrationRecipient.Directive: Golden {
    fileprivate var golden: String {
        switch self {
        case .copy(let isCommitted): isCommitted ? "copy, up to the commit point" : "copy everything"
        case .tellSteady: "tell the donor that little is missing"
        case .tellDrained(let through): "tell the donor: drained up to \(through.short)"
        case .askOutcome: "ask config for the outcome"
        case .deleteCopies: "delete the copies"
        case .tellSettled: "tell the donor that it is written down"
        }
    }
}

extension MigrationRegistry.Directive {
    fileprivate var golden: String {
        switch self {
        case .persist(_, .live, _): "write: live"
        case .persist(_, .decided(let outcome), let change):
            "write: \(outcome.golden)\(change.map { ", with \($0.added.count) chunk" } ?? "")"
        case .answer(_, let outcome): "answer: \(outcome.golden)"
        case .answerUndecided: "answer: nothing is decided"
        case .ignored(let why): "ignored: \(why)"
        }
    }
}

/// Decisions of sharding's protocols, event by event: `testdata/*.txt`.
@Suite struct GoldenTests {
    @Test(
        "a migration",
        arguments: ["migration-commit", "migration-abort", "migration-recovery", "migration-config", "range-deletion"])
    func migration(_ name: String) throws {
        var script = try MigrationScript()
        try GoldenFile.check(name) { try script.run($0) }
    }

    @Test("what is deleted is neither owned nor on its way here")
    func mayDelete() {
        func range(_ from: UInt8, _ to: UInt8) -> KeyRange { KeyRange(lower: [from], upper: [to]) }
        let table = OwnershipTable(
            CollectionUUID(high: 1, low: 1),
            PlacementVersion(Epoch(Timestamp(seconds: 1, increment: 1)), major: 1, minor: 0),
            owning: [range(10, 20), range(30, 40)], from: Timestamp(seconds: 1, increment: 1))
        #expect(
            RangeDeletion.mayDelete(range(5, 50), ownership: table, incoming: [range(22, 25)])
                == [range(5, 10), range(20, 22), range(25, 30), range(40, 50)])
        #expect(RangeDeletion.mayDelete(range(12, 15), ownership: table, incoming: []) == [])
        #expect(RangeDeletion.mayDelete(range(12, 15), ownership: nil, incoming: []) == [range(12, 15)])
    }
}
