internal import BSON
internal import Core
internal import Data
internal import Replication

/// What a command needs of the node before it may run.
struct CommandTraits: OptionSet {
    let rawValue: UInt16
    /// Only in the `admin` database.
    static let adminOnly = CommandTraits(rawValue: 1 << 0)
    /// Changes data: needs a writable primary and takes a write concern.
    static let write = CommandTraits(rawValue: 1 << 1)
    /// Reads data: needs a readable member and the client's leave to read on a secondary; takes a read concern.
    static let read = CommandTraits(rawValue: 1 << 2)
    /// May carry `txnNumber` as a retryable write.
    static let retryable = CommandTraits(rawValue: 1 << 3)
    /// Speaks for another member: needs the internal handshake.
    static let memberOnly = CommandTraits(rawValue: 1 << 4)
    /// Gives data to another member: that must be in the configuration, and not an earlier life of one.
    static let followerOnly = CommandTraits(rawValue: 1 << 7)
    /// Works before anything else does: no session, no gossip checks.
    static let handshake = CommandTraits(rawValue: 1 << 5)
    /// Only with `enableTestCommands`.
    static let testOnly = CommandTraits(rawValue: 1 << 6)
    /// Older drivers may send it by OP_QUERY, beside `hello`.
    static let legacyQuery = CommandTraits(rawValue: 1 << 12)
    /// May come with the read concern `snapshot`: reads at a point in time, or goes on with such a read.
    static let snapshotRead = CommandTraits(rawValue: 1 << 8)
    /// Honours a read concern of any level that its traits allow; other commands take `local` only.
    static let readConcern = CommandTraits(rawValue: 1 << 9)
    /// Takes a write concern though it only writes when it is asked to.
    static let writeConcern = CommandTraits(rawValue: 1 << 10)
    /// Part of Stable API version 1.
    static let stable = CommandTraits(rawValue: 1 << 11)
}

/// How a command's handler ended.
enum CommandOutcome {
    /// The reply's fields are written; `ok: 1` and the gossip are added by the dispatcher.
    case done
    /// The reply's fields are written, and wait with the connection until the write concern is met for that optime.
    case awaitingWriteConcern(OpTime, WriteConcern)
    /// The command has to wait, or is long. The closure runs as a task of its own with a context that owns the
    /// request's bytes; the connection takes no further command until it returns.
    case later((CommandContext) async throws -> Void)
}

/// One command: its name, what it needs, the fields that it may have, and the function that runs it.
final class Command {
    let name: StaticString
    let traits: CommandTraits
    /// Its own fields, beside those that all commands may have.
    let fields: FieldTable
    let help: String
    let run: (CommandContext) throws -> CommandOutcome
    /// What it counts as in `top`.
    let usage: CollectionUsage.Kind
    /// Marks its field `let`.
    let variablesMark: UInt64
    /// Whether it is of interest to the profiler: what clients ask beside managing it and their connections.
    let isProfiled: Bool
    /// Whether it is `explain`, whose arguments are those of another command.
    let isExplain: Bool
    /// For `serverStatus`.
    var total: UInt64 = 0
    var failed: UInt64 = 0

    init(
        _ name: StaticString, _ traits: CommandTraits, _ fields: FieldTable, help: String,
        run: @escaping (CommandContext) throws -> CommandOutcome
    ) {
        self.name = name
        self.traits = traits
        self.fields = fields
        self.help = help
        self.run = run
        variablesMark = fields.mark(of: "let")
        let key = KeyView(base: name.utf8Start, count: name.utf8CodeUnitCount)
        isExplain = key == "explain"
        isProfiled = traits.isDisjoint(with: [.handshake, .memberOnly]) && !(key == "profile")
        usage =
            switch key {
            case "find": .queries
            case "getMore": .getmore
            case "insert": .insert
            case "update": .update
            case "delete": .remove
            default: .commands
            }
    }
}

extension Command {
    /// A command that needs nothing of the node.
    convenience init(
        _ name: StaticString, _ fields: FieldTable, help: String,
        run: @escaping (CommandContext) throws -> CommandOutcome
    ) {
        self.init(name, [], fields, help: help, run: run)
    }

    /// - Throws: `APIStrictError` when the command, or a field of it, is not part of Stable API version 1.
    func checkStable(_ body: DocumentView) throws(ServerError) {
        guard traits.contains(.stable) else {
            throw ServerError(
                .apiStrictError, "Provided apiStrict:true, but the command \(name) is not in API Version 1")
        }
        for element in body.dropFirst() where fields[element.key]?.rules.contains(.unstable) ?? false {
            throw ServerError(
                .apiStrictError, "BSON field '\(name).\(element.key.string)' is not allowed with apiStrict:true.")
        }
        try StableAPI.check(body)
    }
}

/// The commands of a node by name: open addressing over the name's bytes, since every request looks here.
struct CommandTable {
    private var slots: [Command?]
    private(set) var commands: [Command] = []

    init() { slots = Array(repeating: nil, count: 512) }

    /// Adds a command, under further names too (`ismaster`, `isMaster`).
    mutating func add(_ command: Command, aliases: [StaticString] = []) {
        commands.append(command)
        for name in [command.name] + aliases {
            let key = KeyView(base: name.utf8Start, count: name.utf8CodeUnitCount)
            var slot = Self.hash(key) & (slots.count - 1)
            while slots[slot] != nil { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = name.utf8Start == command.name.utf8Start ? command : alias(of: command, name)
        }
    }

    private func alias(of command: Command, _ name: StaticString) -> Command {
        Command(name, command.traits, command.fields, help: command.help, run: command.run)
    }

    /// The command called `name`; names are case-sensitive.
    func find(_ name: KeyView) -> Command? {
        var slot = Self.hash(name) & (slots.count - 1)
        while let command = slots[slot] {
            if name == command.name { return command }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    private static func hash(_ name: KeyView) -> Int {
        var hash: UInt32 = 2_166_136_261
        for byte in name.bytes { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return Int(hash)
    }
}
