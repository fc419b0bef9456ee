import BSON
import Core
import Testing

@testable import Replication

/// Who is behind the names of a configuration.
@Suite struct IdentityInstanceTests {
    /// What a proposed configuration led to: the questions that went out, and what became of it when they were
    /// answered.
    private struct Outcome {
        var asked: [String] = []
        var directives: [Directive] = []
        var config: ReplicaSetConfig?
        var error: ErrorCode? { directives.errorCode }
        var message: String {
            for case .complete(_, let error?) in directives { return error.message }
            return ""
        }
    }

    /// Who answers under a host: this node, another member, or nobody.
    private enum Answer {
        case me
        case member(MemberID)
        case nobody
        case silence
        case otherSet
    }

    private func primary(of count: Int) -> MemberFixture {
        var it = MemberFixture(count)
        it.becomePrimary()
        for id in 1..<max(count, 1) {
            _ = it.position(MemberID(id), it.member.progress)
            it.answer(MemberID(id), it.report(MemberID(id), at: it.member.progress.applied))
        }
        return it
    }

    private func reconfigure(
        _ it: inout MemberFixture, force: Bool = false, answers: [String: Answer] = [:],
        _ change: (inout ReplicaSetConfig) -> Void
    ) throws -> Outcome {
        var next = try #require(it.member.config)
        next.version += 1
        change(&next)
        var outcome = Outcome()
        let id = it.request()
        outcome.directives = it.member.onReconfigCommand(id, next, force: force, deadline: nil, now: it.now)
        for case .sendHeartbeat(let host, let request, let exchange, _) in outcome.directives
        where request.purpose == .rollCall {
            outcome.asked.append(host)
            switch answers[host] ?? .nobody {
            case .me:
                let response = HeartbeatResponse(setName: "rs", report: it.member.makeReport())
                outcome.directives += it.member.onHeartbeatResponse(exchange, response, now: it.now)
            case .member(let other):
                let response = HeartbeatResponse(setName: "rs", memberID: other, report: it.report(other))
                outcome.directives += it.member.onHeartbeatResponse(exchange, response, now: it.now)
            case .nobody:
                outcome.directives += it.member.onHeartbeatFailure(
                    exchange, ServerError(.hostUnreachable, "refused"), now: it.now)
            case .otherSet:
                outcome.directives += it.member.onHeartbeatFailure(
                    exchange, ServerError(.inconsistentReplicaSetNames, "our set name is 'other'"), now: it.now)
            case .silence: break
            }
        }
        outcome.config = it.member.configStore?.config
        return outcome
    }

    @Test("the only member takes another name that leads to it, and keeps its vote", arguments: [false, true])
    func renameOnlyMember(force: Bool) throws {
        var it = primary(of: 1)
        let outcome = try reconfigure(&it, force: force, answers: ["other:27017": .me]) {
            $0.members[0].host = "other:27017"
        }
        #expect(outcome.asked == ["other:27017"])
        let stored = try #require(outcome.config)
        #expect(stored.members[0].isElectable && stored.members[0].isVoter)
        #expect(stored.members[0].incarnation == MemberFixture.incarnation(0))
        let done = it.persist(outcome.directives)
        #expect(done.completions.count == 1 && done.errorCode == nil)
        #expect(it.member.selfIndex == 0 && it.member.isPrimary)
        #expect(it.member.ownHosts == ["m0:27017", "other:27017"])
    }

    @Test("a name that leads to somebody else, or to nobody, is no name of this node", arguments: [false, true])
    func strangeName(force: Bool) throws {
        for answer in [Answer.member(7), .nobody] {
            var it = primary(of: 1)
            let outcome = try reconfigure(&it, force: force, answers: ["other:27017": answer]) {
                $0.members[0].host = "other:27017"
            }
            #expect(outcome.error == .nodeNotFound)
            #expect(outcome.message.contains("maps to this node"))
            #expect(outcome.config == nil && it.member.pendingReconfig == nil)
        }
    }

    @Test("a configuration that names this node twice is refused, forced or not", arguments: [false, true], [1, 3])
    func ownNameTwice(force: Bool, count: Int) throws {
        var it = primary(of: count)
        let outcome = try reconfigure(&it, force: force, answers: ["other:27017": .me]) {
            $0.members.append(MemberConfig(id: 9, host: "other:27017"))
        }
        #expect(outcome.error == .invalidReplicaSetConfig)
        #expect(outcome.message.contains("m0:27017 and other:27017"))
        #expect(it.member.isPrimary && it.member.config?.members.count == count)
    }

    @Test("a configuration that names another member twice is refused")
    func otherNameTwice() throws {
        var it = primary(of: 3)
        let known = try reconfigure(&it, answers: ["other:27017": .member(1)]) {
            $0.members.append(MemberConfig(id: 9, host: "other:27017"))
        }
        #expect(known.error == .invalidReplicaSetConfig)
        #expect(known.message.contains("m1:27017 and other:27017"))
        let new = try reconfigure(&it, force: true, answers: ["a:27017": .member(8), "b:27017": .member(8)]) {
            $0.members += [MemberConfig(id: 8, host: "a:27017"), MemberConfig(id: 9, host: "b:27017")]
        }
        #expect(new.error == .invalidReplicaSetConfig)
        #expect(new.message.contains("a:27017 and b:27017"))
    }

    @Test("all members change their names at once when each is found under its new one, and nobody loses its vote")
    func renameAll() throws {
        var it = primary(of: 3)
        let outcome = try reconfigure(
            &it, answers: ["n0:27017": .me, "n1:27017": .member(1), "n2:27017": .member(2)]
        ) { config in
            for index in config.members.indices { config.members[index].host = "n\(index):27017" }
        }
        let stored = try #require(outcome.config)
        #expect(stored.members.allSatisfy { $0.isVoter && $0.incarnation == MemberFixture.incarnation($0.id) })
        _ = it.persist(outcome.directives)
        // What is known of them is known still: the primary has not lost its majority for a moment.
        #expect(it.member.peers[1].isUp && it.member.peers[1].host == "n1:27017")
        #expect(it.member.isWritablePrimary)
    }

    @Test("a member that another life answers for gets its new name as a new member")
    func renamedAndForgotten() throws {
        var it = primary(of: 3)
        let outcome = try reconfigure(&it, answers: ["n1:27017": .member(8)]) { $0.members[1].host = "n1:27017" }
        #expect(outcome.config?.members.map(\.isNewlyAdded) == [false, true, false])
    }

    @Test("a member of another set is taken in by force only")
    func otherSet() throws {
        for force in [false, true] {
            var it = primary(of: 3)
            let outcome = try reconfigure(&it, force: force, answers: ["far:27017": .otherSet]) {
                $0.members.append(MemberConfig(id: 9, host: "far:27017"))
            }
            if force {
                #expect(outcome.config?.members.count == 4)
            } else {
                #expect(outcome.error == .newReplicaSetConfigurationIncompatible)
                #expect(outcome.config == nil)
            }
        }
    }

    @Test("a name that another member answers under is this one's no more")
    func nameGivenAway() throws {
        var it = primary(of: 3)
        var outcome = try reconfigure(&it, answers: ["n0:27017": .me]) { $0.members[0].host = "n0:27017" }
        _ = it.persist(outcome.directives)
        it.member.addOwnHost("n3:27017")
        #expect(it.member.ownHosts == ["m0:27017", "n0:27017", "n3:27017"])
        for id in 1...2 as ClosedRange<MemberID> {
            it.answer(id, it.report(id, at: it.member.progress.applied))
        }
        outcome = try reconfigure(&it) { $0.members.append(MemberConfig(id: 3, host: "n3:27017")) }
        _ = it.persist(outcome.directives)
        #expect(it.member.selfIndex == 0)
        it.answer(3, it.report(3))
        #expect(it.member.ownHosts == ["m0:27017", "n0:27017"])
    }

    @Test("who is not this node may be unreachable")
    func unreachable() throws {
        var it = primary(of: 3)
        let outcome = try reconfigure(&it) { $0.members.append(MemberConfig(id: 9, host: "far:27017")) }
        #expect(outcome.asked == ["far:27017"])
        #expect(outcome.config?.members.count == 4)
    }

    @Test("a host that stays silent is waited for no longer than the limit")
    func silent() throws {
        var it = primary(of: 3)
        let outcome = try reconfigure(&it, answers: ["far:27017": .silence]) {
            $0.members.append(MemberConfig(id: 9, host: "far:27017"))
        }
        #expect(outcome.config == nil)
        let deadline = it.now + Limits.rollCallMax
        #expect(it.member.nextWakeUp(now: it.now) <= deadline)
        while it.now < deadline {
            it.now = min(deadline, max(it.member.nextWakeUp(now: it.now), it.now + .milliseconds(1)))
            for id in 1...2 as ClosedRange<MemberID> { it.answer(id, it.report(id, at: it.member.progress.applied)) }
            _ = it.member.onTick(now: it.now)
        }
        #expect(it.member.configStore?.config.members.count == 4)
    }

    @Test("nobody is asked when no name is new")
    func noNewNames() throws {
        var it = primary(of: 3)
        let outcome = try reconfigure(&it) { $0.members[1].priority = 2 }
        #expect(outcome.asked == [])
        #expect(outcome.config?.members[1].priority == 2)
    }

    @Test("this node's _id cannot be changed along with its name")
    func otherID() throws {
        var it = primary(of: 1)
        let outcome = try reconfigure(&it, answers: ["other:27017": .me]) {
            $0.members = [MemberConfig(id: 5, host: "other:27017")]
        }
        #expect(outcome.error == .newReplicaSetConfigurationIncompatible)
    }

    @Test("a roll call is answered by whoever is asked, whatever its state, and teaches it nothing")
    func answered() {
        for isInitiated in [true, false] {
            var it = MemberFixture(isInitiated: isInitiated)
            let question = HeartbeatRequest(
                setName: "rs", from: "m9:27017", fromID: nil, to: "other:27017", report: it.report(9),
                purpose: .rollCall)
            let id = it.request()
            let directives = it.member.onHeartbeatRequest(question, id, now: it.now)
            #expect(
                directives.has {
                    if case .replyToHeartbeat(id, let response) = $0 {
                        response.voice == it.member.ownVoice
                    } else {
                        false
                    }
                })
            #expect(it.member.ownHosts == ["m0:27017"])
        }
    }

    @Test("a member that answers under the name of another counts once")
    func doubleAtRunTime() {
        var it = MemberFixture()
        it.hearEveryone()
        #expect(it.member.peers[2].isUp)
        // Its name leads to member 1 now.
        func hear(_ response: HeartbeatResponse) -> [Directive] {
            it.now = max(it.now, it.member.peers[2].nextHeartbeat)
            _ = it.member.onTick(now: it.now)
            return it.member.onHeartbeatResponse(it.member.peers[2].exchange!, response, now: it.now)
        }
        #expect(hear(HeartbeatResponse(setName: "rs", memberID: 1, report: it.report(1))).ignored == [.otherMember])
        #expect(!it.member.peers[2].isUp && it.member.peers[2].message.contains("member 1"))
        it.answer(2, it.report(2))
        #expect(it.member.peers[2].isUp)
        // To this node itself.
        let own = HeartbeatResponse(setName: "rs", memberID: 0, report: it.member.makeReport())
        #expect(hear(own).ignored == [.otherMember])
        #expect(!it.member.peers[2].isUp)
    }

    @Test("a member finds its place by its life when the configuration gives it a name it has not heard")
    func placeByLife() {
        var it = MemberFixture()
        var theirs = MemberFixture.config(3)
        theirs.version = 2
        theirs.members[0].host = "unheard:27017"
        let number = it.member.peers[1].exchange!
        var directives = it.member.onHeartbeatResponse(
            number, HeartbeatResponse(setName: "rs", memberID: 1, report: it.report(1), config: theirs), now: it.now)
        directives += it.persist(directives)
        #expect(it.member.selfIndex == 0 && it.member.state == .secondary)
        #expect(it.member.ownHosts.contains("unheard:27017"))
    }

    @Test(
        "either all hosts are of the loopback, or none is",
        arguments: ["localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "LOCALHOST:1"])
    func localhost(local: String) throws {
        var config = MemberFixture.config(2)
        config.members[1].host = local
        let error = #expect(throws: ServerError.self) { try config.validate() }
        #expect(error?.code == .invalidReplicaSetConfig)
        #expect(error?.message.hasPrefix("Either all host names in a replica set configuration") == true)
        config.members[0].host = "localhost:2"
        try config.validate()
        config.members = [config.members[1]]
        try config.validate()
    }
}
