/// All commands of a node, by family.
enum CommandSet {
    static func addAll(to table: inout CommandTable) {
        HelloCommand.add(to: &table)
        SessionCommands.add(to: &table)
        ServerInformation.add(to: &table)
        ServerParameters.add(to: &table)
        ServerStatus.add(to: &table)
    }
}
