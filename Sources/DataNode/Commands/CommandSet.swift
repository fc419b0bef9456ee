internal import BSON
internal import Core
internal import Data
internal import Frontend

/// The commands of a data node, by family, as they are declared.
struct CommandSet {
    private(set) var commands: [Command<CommandContext>] = []

    mutating func add(_ command: Command<CommandContext>, aliases: [StaticString] = []) {
        var command = command
        command.aliases += aliases
        commands.append(command)
    }

    /// Those of every node, and those of its role in a sharded cluster.
    static func all(_ role: ClusterRole?) -> [Command<CommandContext>] {
        var table = CommandSet()
        table.commands = all
        switch role {
        case .shard: ShardCommands.add(to: &table)
        case .config: ConfigCommands.add(to: &table)
        case nil: break
        }
        return table.commands
    }

    static var all: [Command<CommandContext>] {
        var table = CommandSet()
        ReapSessionsCommand.add(to: &table)
        ServerInformation.add(to: &table)
        ProfileCommand.add(to: &table)
        ServerParameters.add(to: &table)
        FeatureCompatibility.add(to: &table)
        ServerStatus.add(to: &table)
        TopCommand.add(to: &table)
        CollectionCommands.add(to: &table)
        IndexCommands.add(to: &table)
        CappedCommands.add(to: &table)
        ApplyOpsCommand.add(to: &table)
        StorageCommands.add(to: &table)
        ListCommands.add(to: &table)
        FindCommand.add(to: &table)
        GetMoreCommand.add(to: &table)
        CountCommands.add(to: &table)
        AggregateCommand.add(to: &table)
        ExplainCommand.add(to: &table)
        WriteCommands.add(to: &table)
        FindAndModifyCommand.add(to: &table)
        BulkWriteCommand.add(to: &table)
        StatisticsCommands.add(to: &table)
        CheckCommands.add(to: &table)
        OperationCommands.add(to: &table)
        FsyncCommands.add(to: &table)
        ShutdownCommand.add(to: &table)
        TestCommands.add(to: &table)
        MemberCommands.add(to: &table)
        CloneServing.add(to: &table)
        OplogServing.add(to: &table)
        Rollback.add(to: &table)
        ReplicaSetCommands.add(to: &table)
        MaintenanceCommands.add(to: &table)
        DefaultConcernCommands.add(to: &table)
        return table.commands
    }
}

extension Command<CommandContext> {
    /// One that asks nothing of a data node, as a command of one: the profiler sees it.
    init(_ general: Command<RequestContext>) {
        self.init(
            general.name, general.traits, general.fields, help: general.help, aliases: general.aliases,
            run: { try general.run($0) })
    }
}

/// A command in the table of one data node.
final class DataCommand: RegisteredCommand {
    // The table that holds this is the node's.
    private unowned(unsafe) let node: Node
    let run: (CommandContext) throws -> CommandOutcome
    /// What it counts as in `top`.
    let usage: CollectionUsage.Kind
    /// Whether it is of interest to the profiler: what clients ask beside managing it and their connections.
    let isProfiled: Bool
    /// Whether it is `explain`, whose arguments are those of another command.
    let isExplain: Bool
    /// Of its fields: `ordered`, and those by which a write goes around what is done to documents.
    let orderedMark: UInt64
    let bypassMarks: UInt64

    init(_ command: Command<CommandContext>, as name: StaticString, of node: Node) {
        self.node = node
        run = command.run
        let key = KeyView(base: name.utf8Start, count: name.utf8CodeUnitCount)
        isExplain = key == "explain"
        isProfiled = command.traits.isDisjoint(with: [.handshake, .memberOnly]) && !(key == "profile")
        usage =
            switch key {
            case "find": .queries
            case "getMore": .getmore
            case "insert": .insert
            case "update": .update
            case "delete": .remove
            default: .commands
            }
        orderedMark = command.fields.mark(of: "ordered")
        bypassMarks = command.fields.marks(of: "bypassDocumentValidation", "bypassEmptyTsReplacement")
        super.init(name, command.traits, command.fields, help: command.help)
    }

    override func makeContext(_ call: consuming RequestContext.Call) -> RequestContext {
        CommandContext(consume call, self, node)
    }
}
