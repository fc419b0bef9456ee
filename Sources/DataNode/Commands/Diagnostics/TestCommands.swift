internal import Core
internal import Frontend

/// Commands that do nothing and stand, or do not stand, in a version of the Stable API: what drivers test its options
/// with. Only with `enableTestCommands`.
enum TestCommands {
    static func add(to table: inout CommandSet) {
        func add(_ name: StaticString, _ traits: CommandTraits, _ help: String) {
            table.add(Command(name, traits.union(.testOnly), .empty, help: help) { _ in .done })
        }
        add("testVersion2", [], "does nothing; only in API version 2, which there is not yet")
        add("testVersions1And2", [.stable], "does nothing; in API versions 1 and 2")
        add("testDeprecation", [.stable, .deprecated], "does nothing; deprecated in API version 1")
        add("testDeprecationInVersion2", [.stable], "does nothing; deprecated in API version 2, which there is not yet")
    }
}
