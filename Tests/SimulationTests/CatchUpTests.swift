import BSON
import Core
import Replication
import Testing

@testable import Simulation

struct CatchUpTests {
    @Test("a new primary does not wait for entries of a branch that it does not share")
    func divergedSource() throws {
        let set = ScenarioStage.commanded(3)(SimulatedWorld(seed: 1))
        try set.start()
        let stage = ScenarioStage(set)
        let (first, second, third) = (set.members[0], set.members[1], set.members[2])
        // The first has an entry of its own in term 1, the second one in term 2, and the third neither.
        stage.together([first])
        try stage.write(1, on: first)
        stage.together([second, third])
        try stage.elect(second, untilWritable: false)
        stage.together([second])
        second.send(["replSetAbortPrimaryCatchUp": 1]) { _ in }
        try stage.wait("the second to take writes") { second.isWritablePrimary }
        // The first is elected by the third, and then hears of what the second has.
        stage.together([first, third])
        try stage.wait("the first to hear of term 2") { first.term == second.term && first.state == .secondary }
        try stage.elect(first, untilWritable: false)
        set.heal()
        try stage.wait("the first to take writes", within: .seconds(3)) { first.isWritablePrimary }
        try set.runUntilConverged(within: .seconds(30))
        #expect(try stage.things(second) == [1])
    }
}
