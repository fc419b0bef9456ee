public import Core

/// The contract of `ReadSelector`, as a suite that the author of one runs. No test framework is needed: a violation is
/// thrown.
public struct ReadSelectorConformance {
    private let make: () -> any ReadSelector
    private let seed: UInt64
    private let requests: Int

    /// - Parameters:
    ///   - seed: what the requests are drawn from.
    ///   - requests: how many.
    ///   - make: makes a new selector each time.
    public init(seed: UInt64 = 1, requests: Int = 5000, _ make: @escaping () -> any ReadSelector) {
        self.make = make
        self.seed = seed
        self.requests = requests
    }

    /// Runs every check.
    /// - Throws: `ConformanceViolation`.
    public func run() throws {
        try expect(!type(of: make()).name.isEmpty, "the selector has no name")
        try checkAnswers(select)
        try checkSpread()
        if make() is any SyncSourceSelecting { try checkAnswers(selectSyncSource) }
    }

    /// Whatever the descriptions say, it picks one of the suitable members, and the same one when all is the same.
    private func checkAnswers(
        _ select: (inout any ReadSelector, ReadSelectionRequest, UInt64) -> Endpoint?
    ) throws {
        var generator = SplitMix64(seed: seed)
        var one = make()
        var other = make()
        for _ in 0..<requests {
            let request = draw(&generator)
            let start = generator.next()
            let answer = select(&one, request, start)
            let twin = select(&other, request, start)
            try expect(
                answer == twin, "two selectors that were asked the same answer differently: its state is not its own")
            guard let answer else { continue }
            try expect(
                request.suitable.contains { $0.address == answer }, "it picks \(answer), which is not suitable")
        }
    }

    /// Members that have been measured and are alike: it must pick one, or no read is ever served.
    private func checkSpread() throws {
        for count in 1...7 {
            let servers = (0..<count).map { index in
                var server = ServerDescription(address: address(index), type: .secondary)
                server.roundTripTime = .milliseconds(1)
                server.lastWriteDate = WallTime(milliseconds: 1_700_000_000_000)
                return server
            }
            var selector = make()
            let request = ReadSelectionRequest(
                topology: TopologyDescription(kind: .replicaSetNoPrimary, servers: servers), preference: .nearest,
                suitable: servers)
            for round in 0..<UInt64(20) {
                try expect(
                    select(&selector, request, round) != nil, "it picks none of \(count) healthy members that are alike"
                )
            }
        }
    }

    private func select(_ selector: inout any ReadSelector, _ request: ReadSelectionRequest, _ start: UInt64)
        -> Endpoint?
    {
        var generator = SplitMix64(seed: start)
        return selector.select(request) { bound in bound == 0 ? 0 : generator.next() % bound }
    }

    private func selectSyncSource(
        _ selector: inout any ReadSelector, _ request: ReadSelectionRequest, _ start: UInt64
    ) -> Endpoint? {
        guard var able = selector as? any SyncSourceSelecting else { return nil }
        defer { selector = able }
        var generator = SplitMix64(seed: start)
        return able.selectSyncSource(request) { bound in bound == 0 ? 0 : generator.next() % bound }
    }

    private func address(_ index: Int) -> Endpoint { Endpoint(host: "member\(index)", port: 27017) }

    private func draw(_ generator: inout SplitMix64) -> ReadSelectionRequest {
        let count = 1 + generator.below(8)
        var servers: [ServerDescription] = []
        for index in 0..<count {
            var server = ServerDescription(address: address(index), type: index == 0 ? .primary : .secondary)
            let roundTrips: [Duration?] = [nil, .zero, .microseconds(1), .milliseconds(15), .seconds(100_000)]
            server.roundTripTime = roundTrips[generator.below(5)]
            let dates: [Int64?] = [nil, 0, 1_700_000_000_000, .max, .min]
            server.lastWriteDate = dates[generator.below(5)].map { WallTime(milliseconds: $0) }
            server.lastUpdate = .zero + .milliseconds(Int64(generator.below(100_000)))
            servers.append(server)
        }
        let suitable = servers.filter { _ in generator.below(3) > 0 }
        var statistics: [Endpoint: MemberStatistics] = [:]
        for server in servers where generator.below(2) == 0 {
            statistics[server.address] = MemberStatistics(operationsInFlight: generator.below(3) * 1000)
        }
        return ReadSelectionRequest(
            topology: TopologyDescription(kind: .replicaSetWithPrimary, servers: servers), preference: .nearest,
            suitable: suitable.isEmpty ? servers : suitable, statistics: statistics)
    }
}
