/// All commands of a node, by family.
enum CommandSet {
    static func addAll(to table: inout CommandTable) {
        HelloCommand.add(to: &table)
        SessionCommands.add(to: &table)
        ServerInformation.add(to: &table)
        ServerParameters.add(to: &table)
        ServerStatus.add(to: &table)
        CollectionCommands.add(to: &table)
        IndexCommands.add(to: &table)
        ListCommands.add(to: &table)
        FindCommand.add(to: &table)
        GetMoreCommand.add(to: &table)
        WriteCommands.add(to: &table)
        MemberCommands.add(to: &table)
        CloneServing.add(to: &table)
        OplogServing.add(to: &table)
        ReplicaSetCommands.add(to: &table)
    }
}
