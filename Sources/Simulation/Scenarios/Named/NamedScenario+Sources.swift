import BSON
import Core

/// Sync sources that take back what they have passed on.
extension NamedScenario {
    static let sources = [
        NamedScenario(
            name: "source-rolled-back",
            summary: "a member whose sync source rolls back leaves it, and gives up the same entries itself",
            make: ScenarioStage.commanded(7), script: followedSourceRollsBack),
        NamedScenario(
            name: "clone-source-rolled-back",
            summary: "an initial sync whose source rolls back begins anew, and ends without what was taken back",
            make: ScenarioStage.commanded(5), script: clonedSourceRollsBack),
    ]

    /// Three members have what no majority has: one wrote it, the second has it from that one, the third from the
    /// second, which rolls back while the third hears nobody else.
    private static func followedSourceRollsBack(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (writer, source, follower) = (set.members[0], set.members[1], set.members[2])
        let others = Array(set.members[3...])
        try follower.run(["replSetSyncFrom": .string(source.endpoint.description)])
        stage.together([writer, source, follower])
        for id in Int64(1)...3 { try stage.write(id, on: writer) }
        try stage.wait("both to have the entries") {
            [source, follower].allSatisfy { $0.lastApplied == writer.lastApplied }
        }
        try stage.overrule([writer, source, follower], by: others)
        // The source finds the others, its follower only it. Not while the follower's question is answered anyway:
        // a source that follows nobody is left.
        try stage.world.run(for: .seconds(1))
        set.heal()
        for other in others + [writer] { set.cut(follower.name, other.name) }
        try stage.waitForLine("it rolled back meanwhile", of: follower)
        try stage.expect(try stage.things(source).allSatisfy { $0 == 100 }, "the source has taken its entries back")
        set.heal()
        try set.runUntilConverged(within: .seconds(60))
        try stage.expect(try stage.things(follower) == [100], "so has its follower")
        return "the follower left the source, and rolled back as well"
    }

    /// A member is cloned from one that has what no majority has, which rolls back in between.
    private static func clonedSourceRollsBack(_ stage: ScenarioStage) throws -> String {
        let set = stage.set
        let (source, clone) = (set.members[0], set.members[1])
        let others = Array(set.members[2...])
        let documents = (1000..<5000).map { Value.document(["_id": .int64(Int64($0))]) }
        try source.run(["insert": "things", "documents": .array(documents)], in: WriteWorkload.database)
        try set.runUntilConverged(within: .seconds(60))
        stage.together([source, clone])
        try stage.write(1, on: source)
        try stage.overrule([source, clone], by: others)
        clone.loseDisk()
        clone.crash()
        clone.restart()
        try stage.wait("the clone to begin") { clone.isInitialSyncRunning }
        set.heal()
        for other in others { set.cut(clone.name, other.name) }
        try stage.waitForLine("the source rolled back", of: clone)
        set.heal()
        try set.runUntilConverged(within: .seconds(120))
        let kept = try stage.things(clone)
        try stage.expect(
            kept == [100] + (1000..<5000), "the clone has \(kept.count) documents, from \(kept.first ?? 0)")
        return "the clone began anew, and has nothing of what was taken back"
    }
}

extension ScenarioStage {
    /// While `few` talk to one another, the others elect the first of them, which commits the document 100.
    fileprivate func overrule(_ few: [SimulatedMember], by others: [SimulatedMember]) throws {
        set.heal()
        set.partition([few, others])
        try elect(others[0])
        try write(100, on: others[0], w: "majority")
    }

    /// Waits until a member's log says so.
    fileprivate func waitForLine(_ text: String, of member: SimulatedMember) throws {
        try wait("\(member.name) to log '\(text)'", within: .seconds(60)) {
            set.timeline.last(100).contains { $0.contains("  \(member.name)  ") && $0.contains(text) }
        }
    }
}
