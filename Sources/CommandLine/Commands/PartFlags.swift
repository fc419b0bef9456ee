internal import Core
internal import Quorate

/// The flags that choose parts: one for each kind that is registered, and `--set` for their options.
struct PartFlags: Sendable {
    /// By flag, the name of the part that it chose.
    private var names: [String: String] = [:]
    /// By the name of a part that was chosen.
    private var options: [String: [String: String]] = [:]
    /// What `--set` says about something else than a part.
    private(set) var others: [(name: String, value: String)] = []

    /// - Parameters:
    ///   - flags: the kinds of parts that a command has a use for; nil for all.
    ///   - isSharded: whether the command starts nodes of sharded clusters.
    static func specifications(
        _ registry: PartRegistry, only flags: [String]? = nil, isSharded: Bool = false
    ) -> [OptionSpecification] {
        registry.sections.filter { section in
            flags?.contains(section.flag) ?? (isSharded || !section.concernsSharding)
        }.map { section in
            OptionSpecification(
                section.flag, .choice(section.entries.map(\.name)), "NAME", default: section.defaultPart,
                help: section.help, refusals: section.leftOut)
        } + [
            OptionSpecification(
                "set", .repeated, "PART.OPTION=VALUE",
                help: "an option of a part (see 'quorate plugins'), or NAME=VALUE of the server")
        ]
    }

    /// - Parameter defaults: by flag, the part that is taken when the flag is not given, in place of the kind's own.
    /// - Throws: `UsageError` for an option of a part that is not there, not chosen, or has no such option.
    init(
        _ arguments: Arguments, _ registry: PartRegistry, defaults: [String: String] = [:]
    ) throws(UsageError) {
        for section in registry.sections {
            names[section.flag] =
                (arguments.isGiven(section.flag) ? nil : defaults[section.flag]) ?? arguments.text(section.flag)
                ?? section.defaultPart
        }
        for setting in arguments.list("set") {
            guard let equals = setting.firstIndex(of: "=") else {
                throw UsageError("--set needs PART.OPTION=VALUE, not '\(setting)'")
            }
            let path = String(setting[..<equals])
            let value = String(setting[setting.index(after: equals)...])
            guard let dot = path.firstIndex(of: ".") else {
                others.append((path, value))
                continue
            }
            let part = String(path[..<dot])
            let option = String(path[path.index(after: dot)...])
            try check(option, of: part, registry, setting)
            options[part, default: [:]][option] = value
        }
    }

    /// Parts of different kinds may have the same name; an option is one of those that were chosen.
    private func check(
        _ option: String, of part: String, _ registry: PartRegistry, _ setting: String
    ) throws(UsageError) {
        let named = registry.sections.flatMap { section in
            section.entries.filter { $0.name == part }.map { (flag: section.flag, options: $0.options.map(\.name)) }
        }
        guard !named.isEmpty else {
            throw UsageError(
                "unknown part '\(part)' in --set \(setting)"
                    + Spelling.suggestion(for: part, among: registry.sections.flatMap { $0.entries.map(\.name) }))
        }
        let having = named.filter { $0.options.contains(option) }
        guard !having.isEmpty else {
            throw UsageError(
                "the part '\(part)' has no option '\(option)'"
                    + Spelling.suggestion(for: option, among: named.flatMap(\.options)))
        }
        guard having.contains(where: { names[$0.flag] == part }) else {
            throw UsageError(
                "--set \(setting) is about a part that is not in use: choose it with "
                    + having.map { "--\($0.flag) \(part)" }.joined(separator: " or "))
        }
    }

    /// The part of one kind that was chosen, with its options.
    func choice<Product>(_ kind: PartKind<Product>, _ registry: PartRegistry) throws -> PartChoice<Product> {
        let name = names[kind.flag] ?? kind.defaultPart
        let declared = try registry.part(kind, name).options
        return .named(name, (options[name] ?? [:]).filter { setting in declared.contains { $0.name == setting.key } })
    }
}
