internal import Core
internal import Quorate

/// `quorate plugins`: the parts that can be chosen, with their options.
enum PluginsCommand {
    static func specification(_ registry: PartRegistry) -> CommandSpecification {
        CommandSpecification("plugins", summary: "Lists the parts that can be chosen, with their options.") { _ in
            for section in registry.sections {
                Console.print("\(section.title) (--\(section.flag) NAME)")
                for part in section.entries {
                    Console.print("  \(part.name): \(part.summary)")
                    for option in part.options {
                        Console.print("    --set \(part.name).\(option.name)=\(option.defaultValue): \(option.help)")
                    }
                }
            }
            return 0
        }
    }
}
