import BSON
import Core
import Testing

@testable import Replication

/// The dates of `replSetGetStatus`, and how it describes an election.
@Suite struct StatusDateInstanceTests {
    private func status(_ it: MemberFixture, walls: [OpTime: Int64] = [:]) throws -> Document {
        let supplement = StatusSupplement(wallClock: WallTime(milliseconds: 5_000_000), uptimeSeconds: 7) { optime in
            walls[optime].map { WallTime(milliseconds: $0) }
        }
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        try it.member.writeStatus(to: writer, supplement, now: it.now)
        writer.finish()
        return Document(trusted: buffer.toArray())
    }

    private func rows(_ status: Document) -> [Document] {
        (status["members"]?.asArray ?? []).compactMap(\.asDocument)
    }

    @Test("an entry's date is that of the oplog to the millisecond, and the second of its timestamp where it is gone")
    func entryDates() throws {
        var it = MemberFixture()
        it.becomePrimary()
        it.answer(1, it.report(1, at: OpTime(2, 19)))
        let walls = [OpTime(2, 20): Int64(100_456), OpTime(2, 19): 100_123]
        let members = try rows(status(it, walls: walls))
        for (row, wall) in [(members[0], Int64(100_456)), (members[1], 100_123), (members[2], 100_000)] {
            for name in [
                "optimeDate", "optimeDurableDate", "optimeWrittenDate", "lastAppliedWallTime", "lastDurableWallTime",
                "lastWrittenWallTime",
            ] { #expect(row[name] == .dateTime(wall), "\(name)") }
        }
        #expect(members[0]["electionDate"] == .dateTime(100_456))
        #expect(try rows(status(it))[0]["electionDate"] == .dateTime(100_000))
    }

    @Test("the date that came along with a position is shown by one who has not got the entry")
    func datesOfOthers() throws {
        var it = MemberFixture()
        var report = it.report(1, at: OpTime(1, 30))
        report.progress.appliedAt = WallTime(milliseconds: 100_777)
        it.answer(1, report)
        let row = try rows(status(it))[1]
        #expect(row["optimeDate"] == .dateTime(100_777))
        #expect(row["lastDurableWallTime"] == .dateTime(100_777))
    }

    @Test("an entry that a directive asked for is reported with its own date, not with that of the entry before it")
    func dateOfNoOp() {
        var it = MemberFixture()
        it.becomePrimary()
        var progress = Progress(all: OpTime(2, 20))
        progress.appliedAt = WallTime(milliseconds: 5)
        _ = it.member.onLocalProgress(progress, now: it.now)
        let wall = WallTime(milliseconds: 8)
        _ = it.member.onNoOpWritten(.readmission(2), OpTime(2, 21), at: wall, now: it.now)
        #expect(it.member.makeReport().progress.wall(of: OpTime(2, 21)) == wall)
    }

    @Test("what happened keeps its date, whatever the clock says when it is asked for")
    func datesStay() throws {
        var it = MemberFixture()
        it.member.wallClock = WallTime(milliseconds: 9000)
        it.becomePrimary()
        it.member.wallClock = WallTime(milliseconds: 9500)
        _ = it.position(1, Progress(all: OpTime(2, 20)))
        it.member.wallClock = WallTime(milliseconds: 9999)
        _ = it.position(2, Progress(all: OpTime(2, 20)))
        let metrics = try status(it)["electionCandidateMetrics"]?.asDocument
        #expect(metrics?["lastElectionDate"] == .dateTime(9000))
        #expect(metrics?["newTermStartDate"] == .dateTime(7))
        #expect(metrics?["wMajorityWriteAvailabilityDate"] == .dateTime(9500))
        #expect(metrics?["numCatchUpOps"] == .int64(0))
        #expect(try rows(status(it))[1]["lastHeartbeat"] == .dateTime(9000))
    }

    @Test("before a majority has the first entry of the term there is no date of its commitment")
    func notYetCommitted() throws {
        var it = MemberFixture()
        it.becomePrimary()
        let metrics = try status(it)["electionCandidateMetrics"]?.asDocument
        #expect(metrics?["newTermStartDate"] != nil)
        #expect(metrics?["wMajorityWriteAvailabilityDate"] == nil)
    }

    @Test("a new primary counts what it fetched to catch up")
    func catchUpOperations() throws {
        var it = MemberFixture()
        it.hearEveryone()
        _ = it.persist(it.stand())
        _ = it.vote(1)
        _ = it.member.onCatchUpApplied(3, now: it.now)
        _ = it.member.onCatchUpApplied(4, now: it.now)
        #expect(try status(it)["electionCandidateMetrics"]?.asDocument?["numCatchUpOps"] == .int64(7))
    }

    @Test("a voter says when it voted, what it knew then, and when the term reached it")
    func participant() throws {
        var it = MemberFixture { $0.members[0].priority = 3 }
        it.answer(2, it.report(2, at: OpTime(1, 25)))
        it.member.wallClock = WallTime(milliseconds: 4000)
        _ = it.persist(it.requestVote(last: OpTime(1, 12)))
        var metrics = try #require(try status(it)["electionParticipantMetrics"]?.asDocument)
        #expect(metrics["lastVoteDate"] == .dateTime(4000))
        #expect(metrics["lastWrittenOpTimeAtElection"] == .document(Document { OpTime(1, 10).write(to: $0) }))
        #expect(metrics["maxWrittenOpTimeInSet"] == .document(Document { OpTime(1, 25).write(to: $0) }))
        #expect(metrics["priorityAtElection"] == .double(3))
        #expect(metrics["newTermStartDate"] == nil && metrics["newTermAppliedDate"] == nil)
        // Of a term that it has not voted in.
        it.member.wallClock = WallTime(milliseconds: 4100)
        _ = it.member.onTermBegun(1, startedAt: WallTime(milliseconds: 1), now: it.now)
        #expect(try status(it)["electionParticipantMetrics"]?.asDocument?["newTermStartDate"] == nil)
        _ = it.member.onTermBegun(2, startedAt: WallTime(milliseconds: 4050), now: it.now)
        it.member.wallClock = WallTime(milliseconds: 4200)
        metrics = try #require(try status(it)["electionParticipantMetrics"]?.asDocument)
        #expect(metrics["newTermStartDate"] == .dateTime(4050))
        #expect(metrics["newTermAppliedDate"] == .dateTime(4100))
    }

    @Test("only a primary tells whether its configuration is committed, and it is when a majority has it and the data")
    func commitmentStatus() throws {
        func answer(_ it: MemberFixture) throws -> Bool? {
            let buffer = ByteBuffer()
            let writer = DocumentWriter(startingIn: buffer)
            try it.member.writeConfig(to: writer, commitmentStatus: true)
            writer.finish()
            return Document(trusted: buffer.toArray())["commitmentStatus"]?.asBool
        }
        var it = MemberFixture()
        #expect(throws: ServerError.self) { try answer(it) }
        it.becomePrimary()
        #expect(try answer(it) == false)
        _ = it.position(1, Progress(all: OpTime(2, 20)))
        #expect(try answer(it) == true)
    }
}
