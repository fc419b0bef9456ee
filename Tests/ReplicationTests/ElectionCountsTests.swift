import BSON
import Core
import Testing

@testable import Replication

/// `electionMetrics` of `serverStatus`.
@Suite struct ElectionCountsTests {
    private static func metrics(_ it: MemberFixture) -> Document {
        Document { it.member.electionCounts.write(to: $0, stepDowns: it.member.stepDownsByHigherTerm) }
    }

    private static func count(_ it: MemberFixture, _ name: String, _ field: String) -> Int64? {
        metrics(it)[name]?.asDocument?[field]?.asInteger
    }

    @Test("a member that never stood has zeros everywhere")
    func zeros() {
        let metrics = Self.metrics(MemberFixture())
        #expect(metrics["averageCatchUpOps"]?.asNumber == 0)
        for (_, value) in metrics.fields {
            for number in value.asDocument?.fields.map({ $0.1 }) ?? [value] { #expect(number.asNumber == 0) }
        }
    }

    @Test("an election that was asked for counts as called, and as successful when it is won")
    func stepUp() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        #expect(Self.count(it, "stepUpCmd", "called") == 1)
        #expect(Self.count(it, "stepUpCmd", "successful") == 0)
        _ = it.vote(1)
        #expect(Self.count(it, "stepUpCmd", "successful") == 1)
        #expect(Self.count(it, "electionTimeout", "called") == 0)
    }

    @Test("an election that is lost is not successful, and the next one counts again")
    func lost() {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1, granted: false)
        _ = it.vote(2, granted: false)
        #expect(!it.member.isPrimary)
        _ = it.persist(it.stand())
        #expect(Self.count(it, "stepUpCmd", "called") == 2)
        #expect(Self.count(it, "stepUpCmd", "successful") == 0)
    }

    @Test("a primary without anything to catch up with says so")
    func caughtUp() {
        var it = MemberFixture()
        it.becomePrimary()
        #expect(Self.metrics(it)["numCatchUps"]?.asInteger == 1)
        #expect(Self.metrics(it)["numCatchUpsAlreadyCaughtUp"]?.asInteger == 1)
        #expect(Self.metrics(it)["averageCatchUpOps"]?.asNumber == 0)
    }

    @Test("a primary that sees a higher term counts why it stepped down")
    func higherTerm() {
        var it = MemberFixture()
        it.becomePrimary()
        #expect(Self.metrics(it)["numStepDownsCausedByHigherTerm"]?.asInteger == 0)
        _ = it.requestVote(1, term: it.member.term + 1, last: OpTime(9, 90))
        #expect(!it.member.isPrimary)
        #expect(Self.metrics(it)["numStepDownsCausedByHigherTerm"]?.asInteger == 1)
    }
}
