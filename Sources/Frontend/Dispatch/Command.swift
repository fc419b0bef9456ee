package import BSON
package import Core

/// What a command needs before it may run.
package struct CommandTraits: OptionSet {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Only in the `admin` database.
    package static let adminOnly = CommandTraits(rawValue: 1 << 0)
    /// Changes data: needs a writable primary and takes a write concern.
    package static let write = CommandTraits(rawValue: 1 << 1)
    /// Reads data: needs a readable member and the client's leave to read on a secondary; takes a read concern.
    package static let read = CommandTraits(rawValue: 1 << 2)
    /// May carry `txnNumber` as a retryable write.
    package static let retryable = CommandTraits(rawValue: 1 << 3)
    /// Speaks for another member: needs the internal handshake.
    package static let memberOnly = CommandTraits(rawValue: 1 << 4)
    /// Gives data to another member: that must be in the configuration, and not an earlier incarnation of one.
    package static let followerOnly = CommandTraits(rawValue: 1 << 7)
    /// Works before anything else does: no session, no gossip checks.
    package static let handshake = CommandTraits(rawValue: 1 << 5)
    /// Only with `enableTestCommands`.
    package static let testOnly = CommandTraits(rawValue: 1 << 6)
    /// Older drivers may send it by OP_QUERY, beside `hello`.
    package static let legacyQuery = CommandTraits(rawValue: 1 << 12)
    /// May come with the read concern `snapshot`: reads at a point in time, or goes on with such a read.
    package static let snapshotRead = CommandTraits(rawValue: 1 << 8)
    /// Honours a read concern of any level that its traits allow; other commands take `local` only.
    package static let readConcern = CommandTraits(rawValue: 1 << 9)
    /// Takes a write concern though it only writes when it is asked to.
    package static let writeConcern = CommandTraits(rawValue: 1 << 10)
    /// Part of Stable API version 1.
    package static let stable = CommandTraits(rawValue: 1 << 11)
    /// Only for nodes of the sharded cluster that have introduced themselves as such: to everybody else there is no
    /// such command.
    package static let clusterOnly = CommandTraits(rawValue: 1 << 14)
    /// Part of Stable API version 1, and deprecated there.
    package static let deprecated = CommandTraits(rawValue: 1 << 13)
}

/// How a command's handler ended.
public enum CommandOutcome {
    /// The reply's fields are written; `ok: 1` and the gossip are added by the dispatcher.
    case done
    /// The reply's fields are written, and wait with the connection until the service lets them go
    /// (`RequestContext.hold`): a write, until its write concern is met.
    case held
    /// The command has to wait, or is long. The closure runs as a task of its own, with the same context, which owns
    /// the request's bytes from then on: views of them that were taken before have to be taken again. The connection
    /// takes no further command until it returns.
    case later(() async throws -> Void)
}

/// A command as a service declares it: its name, what it needs, the fields that it may have, and the function that runs
/// it with the service's own kind of context.
package struct Command<Context: RequestContext> {
    package let name: StaticString
    package let traits: CommandTraits
    /// Its own fields, beside those that all commands may have.
    package let fields: FieldTable
    package let help: String
    /// Further names (`ismaster`, `isMaster`).
    package var aliases: [StaticString] = []
    package let run: (Context) throws -> CommandOutcome

    package init(
        _ name: StaticString, _ traits: CommandTraits, _ fields: FieldTable, help: String,
        aliases: [StaticString] = [], run: @escaping (Context) throws -> CommandOutcome
    ) {
        self.name = name
        self.traits = traits
        self.fields = fields
        self.help = help
        self.aliases = aliases
        self.run = run
    }

    /// A command that needs nothing of the node.
    package init(
        _ name: StaticString, _ fields: FieldTable, help: String, run: @escaping (Context) throws -> CommandOutcome
    ) {
        self.init(name, [], fields, help: help, run: run)
    }
}

/// A command as it is declared, without what runs it: for a service that answers the commands of another kind of
/// service.
package struct CommandDeclaration {
    package let name: StaticString
    package let traits: CommandTraits
    package let fields: FieldTable
    package let help: String
    package let aliases: [StaticString]

    package init(
        _ name: StaticString, _ traits: CommandTraits, _ fields: FieldTable, help: String, aliases: [StaticString] = []
    ) {
        self.name = name
        self.traits = traits
        self.fields = fields
        self.help = help
        self.aliases = aliases
    }
}

extension Command {
    /// What is declared of it.
    package var declaration: CommandDeclaration {
        CommandDeclaration(name, traits, fields, help: help, aliases: aliases)
    }
}

/// A command in a node's table, under one of its names. Each service has a kind of its own, which makes that service's
/// contexts.
open class RegisteredCommand {
    package final let name: StaticString
    package final let traits: CommandTraits
    package final let fields: FieldTable
    package final let help: String
    /// Marks its field `let`.
    final let variablesMark: UInt64
    /// For `serverStatus`.
    package final var total: UInt64 = 0
    package final var failed: UInt64 = 0

    package init(_ name: StaticString, _ traits: CommandTraits, _ fields: FieldTable, help: String) {
        self.name = name
        self.traits = traits
        self.fields = fields
        self.help = help
        variablesMark = fields.mark(of: "let")
    }

    /// The context of one execution.
    open func makeContext(_ call: consuming RequestContext.Call) -> RequestContext {
        preconditionFailure("a registered command makes contexts of its service")
    }

    /// - Throws: `APIStrictError` when the command, or a field of it, is not part of Stable API version 1.
    final func checkStable(_ body: DocumentView) throws(ServerError) {
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

    /// - Throws: `APIDeprecationError` when the command is deprecated in Stable API version 1.
    final func checkNotDeprecated() throws(ServerError) {
        guard traits.contains(.deprecated) else { return }
        throw ServerError(
            .apiDeprecationError,
            "Provided apiDeprecationErrors:true, but the command \(name) is deprecated in API Version 1")
    }
}

/// A command that the frontend brings itself, or that asks nothing of its service.
package final class FrontendCommand: RegisteredCommand {
    private let run: (RequestContext) throws -> CommandOutcome

    package init(_ command: Command<RequestContext>, as name: StaticString) {
        run = command.run
        super.init(name, command.traits, command.fields, help: command.help)
    }

    public override func makeContext(_ call: consuming RequestContext.Call) -> RequestContext {
        PlainContext(consume call, self, run)
    }

    private final class PlainContext: RequestContext {
        private let handler: (RequestContext) throws -> CommandOutcome

        init(
            _ call: consuming Call, _ command: RegisteredCommand,
            _ handler: @escaping (RequestContext) throws -> CommandOutcome
        ) {
            self.handler = handler
            super.init(consume call, command)
        }

        override func run() throws -> CommandOutcome { try handler(self) }
    }
}

/// The commands of a node by name: open addressing over the name's bytes, since every request looks here.
package struct CommandTable {
    private var slots: [RegisteredCommand?]
    /// All of them, each under its first name.
    package private(set) var commands: [RegisteredCommand] = []

    package init() { slots = Array(repeating: nil, count: 512) }

    /// Adds a command under each of its names; `register` makes the table's own form of it.
    package mutating func add<Context>(
        _ command: Command<Context>, _ register: (Command<Context>, StaticString) -> RegisteredCommand
    ) {
        for (index, name) in ([command.name] + command.aliases).enumerated() {
            let registered = register(command, name)
            if index == 0 { commands.append(registered) }
            let key = KeyView(base: name.utf8Start, count: name.utf8CodeUnitCount)
            var slot = Self.hash(key) & (slots.count - 1)
            while slots[slot] != nil { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = registered
        }
    }

    /// The command called `name`; names are case-sensitive.
    package func find(_ name: KeyView) -> RegisteredCommand? {
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
