internal import Core
public import Quorate
internal import Frontend
internal import DataNode

#if canImport(Glibc)
    internal import Glibc
#endif

/// The `quorate` program: what its command line offers. A program with parts of its own calls `main(registry:)`.
public enum QuorateProgram {
    /// Runs the program with `CommandLine.arguments` and ends the process with its exit status.
    public static func main(registry: PartRegistry = .standard) async -> Never {
        CrashReport.install()
        let status = await run(Swift.CommandLine.arguments, registry: registry)
        exit(status)
    }

    /// Runs one command line, program name first. Returns the exit status: 0, 64 for a usage error, 1 for a failure.
    public static func run(_ arguments: [String], registry: PartRegistry) async -> Int32 {
        do {
            switch try ArgumentParser(specification(registry)).parse(arguments) {
            case .version:
                Console.print("quorate \(ServerVersion.quorate) (answers as MongoDB \(ServerVersion.mongoDB))")
                return 0
            case .help(let text):
                Console.print(text)
                return 0
            case .run(let command, let values):
                guard let run = command.run else { return 0 }
                return try await run(values)
            }
        } catch {
            Console.error("quorate: \(error)")
            return exitStatus(for: error)
        }
    }

    private static func exitStatus(for error: any Error) -> Int32 {
        switch error {
        // Something that the user can mend by another command line.
        case is UsageError, is PartOptionError, is TransportError, is StorageDamage, is DiskError: UsageError.exitStatus
        default: 1
        }
    }

    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification(
            "quorate", summary: "Replica sets that MongoDB clients talk to, of parts that you choose.",
            options: [],
            subcommands: [
                UpCommand.specification(registry),
                NodeCommand.specification(registry), RouterCommand.specification(registry),
                SimulateCommand.specification,
                BenchCommand.specification(registry),
                StatusCommand.specification(),
                StorageCommand.specification(),
                BackupCommand.specification(),
                PluginsCommand.specification(registry),
                CommandsCommand.specification,
            ])
    }
}
