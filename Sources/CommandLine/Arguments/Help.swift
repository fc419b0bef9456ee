/// Makes the help page of a command.
enum Help {
    static func text(_ command: CommandSpecification, path: [String]) -> String {
        var lines: [String] = [command.summary, ""]
        var usage = "usage: " + path.joined(separator: " ")
        if !command.subcommands.isEmpty { usage += " COMMAND …" }
        for positional in command.positionals { usage += " " + positional }
        if !command.options.isEmpty { usage += " [OPTION …]" }
        lines.append(usage)
        if !command.details.isEmpty { lines += ["", command.details] }
        if !command.subcommands.isEmpty {
            lines += ["", "commands:"]
            lines += table(command.subcommands.map { ($0.name, $0.summary) })
            lines += ["", "'\(path.joined(separator: " ")) COMMAND --help' says more of each."]
        }
        if !command.options.isEmpty {
            lines += ["", "options:"]
            lines += table(
                command.options.map { option in
                    let name = "--" + option.name + (option.placeholder.isEmpty ? "" : " " + option.placeholder)
                    return (name, option.help + (option.defaultValue.map { " (default: \($0))" } ?? ""))
                } + [("--help", "this page")])
        }
        return lines.joined(separator: "\n")
    }

    private static func table(_ rows: [(String, String)]) -> [String] {
        let width = rows.map { $0.0.count }.max() ?? 0
        return rows.map { "  " + $0.0 + String(repeating: " ", count: width - $0.0.count + 2) + $0.1 }
    }
}
