internal import Core
internal import Quorate

/// `quorate plugins`: the parts that can be chosen, with their options.
enum PluginsCommand {
    static func specification(_ registry: PluginRegistry) -> CommandSpecification {
        CommandSpecification("plugins", summary: "Lists the parts that can be chosen, with their options.") { _ in
            section("storage", "--storage", registry.storage)
            section("transport", "--transport", registry.transports)
            section("election policy", "--election-policy", registry.electionPolicies)
            return 0
        }
    }

    private static func section<Part>(_ title: String, _ flag: String, _ plugins: [Plugin<Part>]) {
        Console.print("\(title) (\(flag) NAME)")
        for plugin in plugins {
            Console.print("  \(plugin.name): \(plugin.summary)")
            for option in plugin.options {
                Console.print("    --set \(plugin.name).\(option.name)=\(option.defaultValue): \(option.help)")
            }
        }
    }
}
