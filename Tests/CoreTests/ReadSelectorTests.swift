import ReadSelectors
import Testing

@testable import Core

struct ReadSelectorTests {
    private func member(
        _ name: String, _ type: ServerType = .secondary, milliseconds: Int?, written: Int64? = nil
    ) -> ServerDescription {
        var server = ServerDescription(address: Endpoint(host: name, port: 27017), type: type)
        server.roundTripTime = milliseconds.map { .milliseconds($0) }
        server.lastWriteDate = written.map { WallTime(milliseconds: $0) }
        return server
    }

    private func request(_ servers: [ServerDescription], mode: ReadPreference = .nearest) throws -> ReadSelectionRequest
    {
        let kind: TopologyDescription.Kind =
            servers.contains { $0.type == .primary } ? .replicaSetWithPrimary : .replicaSetNoPrimary
        let topology = TopologyDescription(kind: kind, servers: servers)
        return ReadSelectionRequest(
            topology: topology, preference: mode, suitable: try ServerSelection.suitable(topology, .read, mode))
    }

    @Test("nearest-strict takes the fastest, and a member never measured last")
    func nearestStrict() throws {
        var selector = NearestStrict()
        let servers = [member("a", milliseconds: nil), member("b", milliseconds: 9), member("c", milliseconds: 8)]
        #expect(selector.select(try request(servers)) { _ in 0 }?.host == "c")
        #expect(selector.select(try request([servers[0]])) { _ in 0 }?.host == "a")
    }

    @Test("least-lag takes the secondary that wrote last, the nearest of equal ones, and one of unknown lag last")
    func leastLag() throws {
        var selector = LeastLag()
        let servers = [
            member("a", .primary, milliseconds: 1, written: 5000),
            member("b", milliseconds: 1, written: 3000), member("c", milliseconds: 9, written: 4000),
            member("d", milliseconds: 7, written: 4000), member("e", milliseconds: 1),
        ]
        #expect(selector.select(try request(servers, mode: .secondary)) { _ in 0 }?.host == "d")
        #expect(selector.select(try request(servers)) { _ in 0 }?.host == "a")
        #expect(selector.select(try request([servers[4]])) { _ in 0 }?.host == "e")
    }

    @Test("round-robin takes each in turn, also when members come and go")
    func roundRobin() throws {
        var selector = RoundRobin()
        let servers = ["a", "b", "c"].map { member($0, milliseconds: 1) }
        let all = try request(servers)
        #expect((0..<5).map { _ in selector.select(all) { _ in 0 }?.host } == ["a", "b", "c", "a", "b"])
        let without = try request([servers[0], servers[1]])
        #expect(selector.select(without) { _ in 0 }?.host == "a")
        #expect(selector.select(all) { _ in 0 }?.host == "b")
    }

    @Test("the MongoDB selector prefers the less busy of the two it draws, within the latency window only")
    func powerOfTwoChoices() throws {
        let servers = [member("a", milliseconds: 10), member("b", milliseconds: 20), member("c", milliseconds: 40)]
        let base = try request(servers)
        let busy = ReadSelectionRequest(
            topology: base.topology, preference: base.preference, suitable: base.suitable,
            statistics: [servers[0].address: MemberStatistics(operationsInFlight: 3)])
        var selector = MongoDBReadSelector()
        var random = SplitMix64(seed: 3)
        for _ in 0..<100 {
            #expect(selector.select(busy) { UInt64.random(in: 0..<max($0, 1), using: &random) }?.host == "b")
        }
    }

    @Test("no selector traps on descriptions without measurements")
    func noMeasurements() throws {
        let blank = try request([member("a", milliseconds: nil), member("b", milliseconds: nil)])
        var selectors: [any ReadSelector] = [MongoDBReadSelector(), NearestStrict(), LeastLag(), RoundRobin()]
        for index in selectors.indices { #expect(selectors[index].select(blank) { _ in 0 } != nil) }
    }
}
