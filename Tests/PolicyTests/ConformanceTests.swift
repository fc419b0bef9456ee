import Conformance
import Core
import ElectionPolicies
import ReadSelectors
import Testing

/// The policies that come along keep their contracts, and the suites find those that do not.
struct ConformanceTests {
    static let policies: [any ElectionPolicy] = [
        MongoDBElectionPolicy(), FastElectionPolicy(), ZoneAwareElectionPolicy(), ZoneAwareElectionPolicy(home: "sf"),
        FixedElectionPolicy(host: "one:27017"),
    ]

    @Test("every election policy keeps the contract", arguments: 1...5 as ClosedRange<UInt64>)
    func electionPolicies(seed: UInt64) throws {
        for policy in Self.policies {
            try ElectionPolicyConformance(policy, hosts: ["one:27017"], seed: seed, views: 500).run()
        }
    }

    @Test("every read selector keeps the contract", arguments: 1...5 as ClosedRange<UInt64>)
    func readSelectors(seed: UInt64) throws {
        try ReadSelectorConformance(seed: seed) { MongoDBReadSelector() }.run()
        try ReadSelectorConformance(seed: seed) { NearestStrict() }.run()
        try ReadSelectorConformance(seed: seed) { LeastLag() }.run()
        try ReadSelectorConformance(seed: seed) { RoundRobin() }.run()
    }

    /// Policies that break one rule each.
    struct Broken: ElectionPolicy {
        var name: String { "broken" }
        let fault: @Sendable (ElectionEvent, ElectionView) -> ElectionDecision?
        func decide(_ event: ElectionEvent, _ view: ElectionView) -> ElectionDecision {
            fault(event, view) ?? MongoDBElectionPolicy().decide(event, view)
        }
    }

    @Test("an election policy that breaks a rule is found")
    func brokenPolicies() {
        let generator = SystemRandomNumberGenerator()
        let faults: [@Sendable (ElectionEvent, ElectionView) -> ElectionDecision?] = [
            { event, view in if case .electionTimer = event { .wait(until: view.now) } else { nil } },
            { event, _ in if case .primaryHeard = event { .grantDryRun } else { nil } },
            { event, _ in if case .steppingDown = event { .handOff(to: 12_345) } else { nil } },
            { event, _ in if case .electionTimer = event { .handOff(to: 0) } else { nil } },
            { event, view in
                guard case .electionTimer = event else { return nil }
                return .wait(until: view.now + .seconds(1))
            },
            { event, view in
                guard case .termAdvanced = event else { return nil }
                var generator = generator
                return .wait(until: view.now + .nanoseconds(Int64(generator.next() >> 32)))
            },
        ]
        for (index, fault) in faults.enumerated() {
            #expect(throws: ConformanceViolation.self, "fault \(index)") {
                try ElectionPolicyConformance(Broken(fault: fault)).run()
            }
        }
    }

    /// Picks nobody, or somebody who must not be picked.
    struct BrokenSelector: ReadSelector {
        static let name = "broken"
        let picksNobody: Bool
        mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
            picksNobody ? nil : request.topology.servers.first?.address
        }
    }

    @Test("a read selector that breaks a rule is found", arguments: [true, false])
    func brokenSelectors(picksNobody: Bool) {
        #expect(throws: ConformanceViolation.self) {
            try ReadSelectorConformance { BrokenSelector(picksNobody: picksNobody) }.run()
        }
    }
}
