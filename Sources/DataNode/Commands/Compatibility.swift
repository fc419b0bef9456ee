internal import Core
internal import Frontend
internal import Query

/// What a node answers, from the declarations that it checks requests against: `quorate commands` prints it, and
/// docs/compatibility.md is made of it, so neither can say anything else than the program does.
public enum Compatibility {
    /// All commands, each under its first name.
    static var all: [RegisteredCommand] {
        FrontendCommands.all.map { RegisteredCommand($0.name, $0.traits, $0.fields, help: $0.help) }
            + CommandSet.all.map { RegisteredCommand($0.name, $0.traits, $0.fields, help: $0.help) }
    }

    private static var commands: [RegisteredCommand] {
        all.filter { !$0.traits.contains(.memberOnly) }.sorted { "\($0.name)" < "\($1.name)" }
    }

    /// A line a command.
    public static var summary: [String] {
        let commands = commands
        let width = commands.map(\.name.utf8CodeUnitCount).max() ?? 0
        return commands.map { command in
            let name = "\(command.name)"
            return name + String(repeating: " ", count: width + 2 - name.utf8.count) + command.help
        }
    }

    /// One command with its fields; nil when there is none of that name.
    public static func description(of name: String) -> [String]? {
        guard let command = commands.first(where: { "\($0.name)" == name }) else { return nil }
        return ["\(command.name): \(command.help)"] + notes(command).map { "  \($0)" }
            + command.fields.fields.map { "  \($0.name) (\($0.types.summary)): \(text(of: $0))" }
    }

    /// The page docs/compatibility.md.
    public static var page: [String] {
        var lines = [
            "# What a node answers",
            "",
            "Made by `scripts/compatibility` from the declarations that requests are checked against. A field that is",
            "not listed is refused (40415), one of another type too (14); null means that a field was not given.",
            "",
            "## Fields of every command",
            "",
        ]
        lines += table(of: GenericArguments.fields.fields)
        lines += ["", "## Commands", ""]
        lines += page(of: commands)
        lines += [
            "## Commands of a sharded cluster", "",
            "On a router, which passes them on to the config servers; a data node has no such commands (59).", "",
        ]
        lines += page(of: clusterCommands)
        lines += stages
        lines += ["## Commands of MongoDB 8.0 that are not there yet", "", "Refused by name (115).", ""]
        lines += list(MissingCommands.all.map { ("\($0.name)", "\($0.meaning)") })
        lines += ["", "## Not there yet in the query language", "", "Refused by name (238; in filters 115)."]
        for (title, entries) in [
            ("Stages", MissingOperators.stages), ("Expressions", MissingOperators.expressions),
            ("Accumulators", MissingOperators.accumulators), ("Query operators", MissingOperators.queries),
        ] {
            lines += ["", "### \(title)", ""] + list(entries)
        }
        return lines
    }

    /// The commands by which a cluster is administered, without those that its nodes send each other.
    private static var clusterCommands: [RegisteredCommand] {
        CommandSet.all(.config).filter { $0.traits.contains(.clusterOnly) && !"\($0.name)".hasPrefix("_") }
            .map { RegisteredCommand($0.name, $0.traits, $0.fields, help: $0.help) }
            .sorted { "\($0.name)" < "\($1.name)" }
    }

    private static func page(of commands: [RegisteredCommand]) -> [String] {
        var lines: [String] = []
        for command in commands {
            lines += ["### " + command.name.description, "", capitalized(command.help) + "."]
            let notes = notes(command)
            if !notes.isEmpty {
                lines[lines.count - 1] += " " + notes.map { capitalized($0) + "." }.joined(separator: " ")
            }
            lines.append("")
            if !command.fields.fields.isEmpty { lines += table(of: command.fields.fields) + [""] }
        }
        return lines
    }

    /// The stages of pipelines and how each runs.
    private static var stages: [String] {
        let places = { (split: StageTraits.Split) in
            switch split {
            case .shards: "on each shard"
            case .both: "on each shard, and at the merge"
            case .merge: "at the merge"
            case .first: "first, on each shard that is asked"
            }
        }
        return [
            "## Stages", "",
            "A stage that blocks shows nothing before it has all its input. The last column is where a stage runs when",
            "its input lies on several shards.", "", "| stage | | | over shards |", "| --- | --- | --- | --- |",
        ]
            + StageTraits.all.map {
                "| `\($0.name)` | \($0.flow.rawValue) | \($0.spills ? "spills" : "") | \(places($0.split)) |"
            } + [""]
    }

    // MARK: Text

    private static func notes(_ command: RegisteredCommand) -> [String] {
        var notes: [String] = []
        if command.traits.contains(.adminOnly) { notes.append("on the admin database only") }
        if command.traits.contains(.testOnly) { notes.append("with enableTestCommands only") }
        if command.traits.contains(.stable) { notes.append("part of Stable API version 1") }
        if command.fields.isOpen { notes.append("takes further fields") }
        return notes
    }

    private static func text(of field: Field) -> String {
        var text = "\(field.meaning)"
        switch field.effect {
        case .works: break
        case .none(let reason):
            let reason = "\(reason)"
            text = text == reason ? "no effect: \(reason)" : "\(text) (no effect: \(reason))"
        case .refused(nil): text = "not supported yet: \(text)"
        case .refused: text = "not supported yet, unless it asks for nothing: \(text)"
        }
        if field.rules.contains(.required) { text += "; required" }
        return text
    }

    private static func table(of fields: [Field]) -> [String] {
        ["| field | type | meaning |", "| --- | --- | --- |"]
            + fields.map { "| `\($0.name)` | \($0.types.summary) | \(text(of: $0)) |" }
    }

    /// Names that lack the same thing, together.
    private static func list(_ entries: [(name: String, meaning: String)]) -> [String] {
        var order: [String] = []
        var names: [String: [String]] = [:]
        for entry in entries {
            if names[entry.meaning] == nil { order.append(entry.meaning) }
            names[entry.meaning, default: []].append("`\(entry.name)`")
        }
        return order.map { "- \($0): \((names[$0] ?? []).joined(separator: ", "))" }
    }

    private static func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
}
