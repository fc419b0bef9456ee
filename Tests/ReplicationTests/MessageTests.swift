import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

/// What a member tells clients: `hello`, `replSetGetStatus`.
@Suite struct MessageTests {
    @Test("what a member stores of its vote survives encoding")
    func lastVote() {
        let vote = LastVote(term: 9, candidateID: 3)
        #expect(Document { vote.encode(to: $0) }.withView { LastVote($0) } == vote)
    }

    @Test("hello names hosts, passives and arbiters, leaves hidden members out and shows the electionId of a primary")
    func hello() {
        var it = MemberFixture(5) {
            $0.members[2].priority = 0
            $0.members[3].isHidden = true
            $0.members[3].priority = 0
            $0.members[4].isArbiter = true
            $0.members[4].priority = 0
            $0.members[0].tags = [.init("dc", "ny")]
        }
        it.becomePrimary()
        let hello = Document { it.member.writeHello(to: $0) }
        #expect(hello["hosts"]?.asArray == ["m0:27017", "m1:27017"])
        #expect(hello["passives"]?.asArray == ["m2:27017"])
        #expect(hello["arbiters"]?.asArray == ["m4:27017"])
        #expect(hello["isWritablePrimary"] == true)
        #expect(hello["primary"] == "m0:27017")
        #expect(hello["electionId"] == .objectID(Member.electionID(term: 2)))
        #expect(hello["tags"] == ["dc": "ny"])
        #expect(hello["lastWrite"]?.asDocument?["opTime"] == .document(Document { OpTime(2, 20).write(to: $0) }))
        let empty = Member(
            MemberStart(setName: "rs", ownHosts: ["a:1"], incarnation: MemberFixture.incarnation(0), seed: 1),
            policy: MongoDBElectionPolicy())
        let uninitialized = Document { empty.writeHello(to: $0) }
        #expect(uninitialized["isreplicaset"] == true)
        #expect(uninitialized["setName"] == nil)
    }

    @Test("replSetGetStatus shows a member that was never heard, one that is down and ourselves as MongoDB does")
    func status() throws {
        var it = MemberFixture(4)
        it.answer(1, it.report(1, state: .primary))
        it.answer(2, it.report(2))
        it.failHeartbeats(of: 2)
        let status = try self.status(it)
        let members = rows(status)
        #expect(members[0]["self"] == true)
        #expect(members[0]["pingMs"] == nil)
        #expect(members[1]["stateStr"] == "PRIMARY")
        #expect(members[2]["health"] == .double(0))
        #expect(members[2]["stateStr"] == "(not reachable/healthy)")
        // It was at (1, 10): down, it shows no position, only when it was there.
        #expect(members[2]["optime"]?.asDocument == Document { OpTime.null.write(to: $0) })
        #expect(members[2]["optimeDate"] == .dateTime(0))
        #expect(members[2]["lastAppliedWallTime"] == .dateTime(100_000))
        #expect(members[2]["configVersion"] == -1)
        #expect(members[3]["state"] == 0)
        #expect(members[3]["configVersion"] == -2)
        #expect(members[3]["uptime"] == .int64(0))
        #expect(status["majorityVoteCount"] == 3)
        #expect(status["optimes"]?.asDocument?["lastCommittedOpTime"]?.asDocument?["t"] == .int64(-1))
        #expect(status["syncSourceHost"] == "m1:27017")
    }

    @Test("a member that no heartbeat has ever reached is STARTUP during the first round and then down")
    func neverReached() throws {
        var it = MemberFixture(3)
        it.answer(1, it.report(1))
        #expect(try rows(status(it))[2]["stateStr"] == "STARTUP")
        #expect(try rows(status(it))[2]["health"] == .double(1))
        // It takes the connection and answers nothing.
        _ = it.pass(it.member.heartbeatAttemptTimeout)
        let row = try rows(status(it))[2]
        #expect(row["state"] == 8)
        #expect(row["stateStr"] == "(not reachable/healthy)")
        #expect(row["health"] == .double(0))
        #expect(row["lastHeartbeatMessage"]?.asString?.contains("no answer") == true)
        it.answer(2, it.report(2))
        #expect(try rows(status(it))[2]["stateStr"] == "SECONDARY")
    }

    @Test("who finds nobody to sync from says so; an arbiter does not look for anybody")
    func infoMessage() throws {
        var it = MemberFixture()
        #expect(try rows(status(it))[0]["infoMessage"] == "Could not find member to sync from")
        it.answer(1, it.report(1, state: .primary))
        #expect(try rows(status(it))[0]["infoMessage"] == "")
        let arbiter = MemberFixture {
            $0.members[0].isArbiter = true
            $0.members[0].priority = 0
        }
        #expect(try rows(status(arbiter))[0]["stateStr"] == "ARBITER")
        #expect(try rows(status(arbiter))[0]["infoMessage"] == "")
    }

    private func status(_ it: MemberFixture) throws -> Document {
        let supplement = StatusSupplement(wallClock: WallTime(milliseconds: 5_000_000), uptimeSeconds: 7)
        return try document { writer throws(ServerError) in
            try it.member.writeStatus(to: writer, supplement, now: it.now)
        }
    }

    private func rows(_ status: Document) -> [Document] {
        (status["members"]?.asArray ?? []).compactMap(\.asDocument)
    }

    func document(_ build: (DocumentWriter) throws(ServerError) -> Void) throws -> Document {
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        try build(writer)
        writer.finish()
        return Document(trusted: buffer.toArray())
    }
}

extension OpTime {
    func write(to writer: DocumentWriter) {
        writer.append("ts", timestamp: timestamp)
        writer.append("t", int64: term)
    }
}
