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
        CountCommands.add(to: &table)
        AggregateCommand.add(to: &table)
        ExplainCommand.add(to: &table)
        WriteCommands.add(to: &table)
        FindAndModifyCommand.add(to: &table)
        BulkWriteCommand.add(to: &table)
        StatisticsCommands.add(to: &table)
        CheckCommands.add(to: &table)
        CurrentOperation.add(to: &table)
        MemberCommands.add(to: &table)
        CloneServing.add(to: &table)
        OplogServing.add(to: &table)
        Rollback.add(to: &table)
        ReplicaSetCommands.add(to: &table)
    }
}
