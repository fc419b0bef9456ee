import BSON
import Core
import ElectionPolicies
import Testing

@testable import Replication

/// `replSetInitiate`, between members without a configuration.
@Suite struct InitiateInstanceTests {
    private let now = Instant(nanoseconds: 1_000_000_000)

    private func stranger(_ id: MemberID, setName: String = "rs", progress: Progress = Progress()) -> Member {
        var member = Member(
            MemberStart(
                setName: setName, ownHosts: ["m\(id):27017"], incarnation: MemberFixture.incarnation(id),
                progress: progress, seed: UInt64(id)),
            policy: MongoDBElectionPolicy())
        _ = member.onStart(now: now)
        return member
    }

    /// What the first of two members answers to `replSetInitiate` when the second is asked.
    private func initiate(with other: Member) -> [Directive] {
        var first = stranger(0)
        var other = other
        var proposed = MemberFixture.config(2)
        proposed.term = 0
        let asked = first.onInitiateCommand(RequestID(1), proposed, now: now)
        for case .sendHeartbeat("m1:27017", let request, let exchange, _) in asked {
            for directive in other.onHeartbeatRequest(request, RequestID(2), now: now) {
                switch directive {
                case .replyToHeartbeat(_, let response):
                    return first.onHeartbeatResponse(exchange, response, now: now)
                case .complete(_, let error?): return first.onHeartbeatFailure(exchange, error, now: now)
                default: break
                }
            }
        }
        return asked
    }

    @Test("members without data and configuration found a set")
    func empty() {
        #expect(initiate(with: stranger(1)).has { if case .initiate = $0 { true } else { false } })
    }

    @Test("a member with data and no configuration cannot be initiated, and the message names it")
    func memberWithData() {
        let directives = initiate(with: stranger(1, progress: Progress(all: OpTime(1, 10))))
        #expect(directives.errorCode == .cannotInitializeNodeWithData)
        #expect(ErrorCode.cannotInitializeNodeWithData.rawValue == 110)
        for case .complete(_, let error?) in directives { #expect(error.message.contains("m1:27017")) }
        #expect(!directives.has { if case .initiate = $0 { true } else { false } })
    }

    @Test("a member of a set cannot be initiated again")
    func memberOfSet() {
        var fixture = MemberFixture()
        #expect(
            fixture.member.onInitiateCommand(RequestID(1), MemberFixture.config(1), now: now).errorCode
                == .alreadyInitialized)
        #expect(initiate(with: fixture.member).errorCode == .alreadyInitialized)
    }
}
