import BSON
import Core
import Testing

@testable import Replication

/// Who is up.
@Suite struct HeartbeatInstanceTests {
    @Test("a member that takes connections and answers nothing is down after the retries")
    func hungMember() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        #expect(fixture.member.peers[1].isUp)
        fixture.now = fixture.member.peers[1].nextHeartbeat
        _ = fixture.member.onTick(now: fixture.now)
        var failures = 0
        while fixture.member.peers[1].isUp, failures < 10 {
            // As the shell tells it: the silent connection is dropped, then the question fails, then the next connects.
            let exchange = fixture.member.peers[1].exchange!
            fixture.now = fixture.now + .seconds(1)
            _ = fixture.member.onConnectionLost(1, now: fixture.now)
            _ = fixture.member.onHeartbeatFailure(
                exchange, ServerError(.networkTimeout, "timed out"), now: fixture.now)
            _ = fixture.member.onConnectionOpened(1, now: fixture.now)
            failures += 1
        }
        #expect(failures == 1 + Limits.heartbeatRetriesMax)
        #expect(fixture.member.peers[1].state == .down)
    }

    @Test("a connection that breaks while nothing is asked is looked into at once")
    func idleConnectionLost() {
        var fixture = MemberFixture()
        fixture.hearEveryone()
        let directives = fixture.member.onConnectionLost(2, now: fixture.now)
        #expect(directives.has { if case .sendHeartbeat(let host, _, _, _) = $0 { host == "m2:27017" } else { false } })
    }
}
