internal import DataNode

/// `quorate commands`: the commands that nodes answer, and their fields.
enum CommandsCommand {
    static var specification: CommandSpecification {
        CommandSpecification(
            "commands", summary: "Lists the commands that nodes answer, or the fields of one.",
            positionals: ["[NAME]"],
            options: [OptionSpecification("page", .flag, help: "print all of it, as docs/compatibility.md")]
        ) { arguments in
            if arguments.flag("page") {
                for line in Compatibility.page { Console.print(line) }
            } else if let name = arguments.positionals.first {
                guard let lines = Compatibility.description(of: name) else {
                    throw UsageError("there is no command '\(name)'; 'quorate commands' lists them")
                }
                for line in lines { Console.print(line) }
            } else {
                for line in Compatibility.summary { Console.print(line) }
            }
            return 0
        }
    }
}
