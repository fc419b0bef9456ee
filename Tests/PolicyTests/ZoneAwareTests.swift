import BSON
import Core
import ElectionPolicies
import Testing

/// Who waits how long under `zone-aware`.
struct ZoneAwareTests {
    /// - Parameter pings: round trips in milliseconds.
    private func view(_ zones: [String], as index: Int, pings: [Int64]? = nil) -> ElectionView {
        let applied = OpTime(term: 1, timestamp: Timestamp(seconds: 100, increment: 1))
        let members = zones.indices.map { position in
            ElectionMember(
                id: Int32(position), host: "member\(position):27017", isSelf: position == index, isVoter: true,
                isArbiter: false, isHidden: false, priority: 1, tags: [("dc", zones[position])], isUp: true,
                state: .secondary, applied: applied,
                ping: position == index ? nil : .milliseconds(pings?[position] ?? 1))
        }
        return ElectionView(
            now: .zero + .seconds(10), term: 1, members: members, selfIndex: index, primaryIndex: nil,
            primaryLastHeard: .zero + .seconds(9), isPrimaryConnectionOpen: false, mayStand: true, failedTries: 0,
            electionTimer: nil, takeoverTimer: nil, takeoverReason: nil, electionTimeout: .seconds(1),
            heartbeatInterval: .milliseconds(200), catchUpTakeoverDelay: nil, random: 0)
    }

    private func wait(_ view: ElectionView, _ policy: ZoneAwareElectionPolicy = .init()) -> Duration? {
        guard case .wait(let until, .election) = policy.decide(.primaryConnectionLost, view).kind else { return nil }
        return until - view.now
    }

    @Test("members of the zone with the most voters stand first, or those of the zone that is named")
    func home() throws {
        let zones = ["sf", "ny", "ny", "ny", "sf"]
        let waits = try zones.indices.map { try #require(wait(view(zones, as: $0))) }
        #expect(waits[1...3].max()! < min(waits[0], waits[4]))
        let west = ZoneAwareElectionPolicy(home: "sf")
        let other = try zones.indices.map { try #require(wait(view(zones, as: $0), west)) }
        #expect(max(other[0], other[4]) < other[1...3].min()!)
    }

    @Test("a zone whose members are all down or unfit hinders nobody else")
    func deadHome() throws {
        var away = view(["ny", "ny", "sf"], as: 2)
        let patient = try #require(wait(away))
        for index in 0...1 { away.members[index].isUp = false }
        #expect(try #require(wait(away)) < patient)
    }

    @Test("of members elsewhere those with a short way to a majority stand first")
    func distance() throws {
        let near = view(["a", "b", "c", "d", "e"], as: 3, pings: [1, 1, 200, 0, 200])
        let far = view(["a", "b", "c", "d", "e"], as: 3, pings: [200, 200, 200, 0, 1])
        #expect(try #require(wait(near)) < #require(wait(far)))
    }

    @Test("a step-down hands over to the highest priority, and among equals to a member at home")
    func handOff() {
        func successor(_ view: ElectionView) -> MemberID? {
            let answer = ZoneAwareElectionPolicy().decide(.steppingDown(candidates: [0, 1, 2]), view).kind
            if case .handOff(let id) = answer { return id }
            return nil
        }
        var all = view(["sf", "ny", "ny", "ny"], as: 3)
        #expect(successor(all) == 1)
        all.members[0].priority = 2
        #expect(successor(all) == 0)
    }

    @Test("options are read, and an unknown one is refused")
    func options() throws {
        let policy = try ZoneAwareElectionPolicy(PartOptions(["home": "sf", "tag": "zone"]))
        #expect(policy.home == "sf")
        #expect(policy.tag == "zone")
        #expect(throws: PartOptionError.self) { try ZoneAwareElectionPolicy(PartOptions(["hme": "sf"])) }
    }
}
