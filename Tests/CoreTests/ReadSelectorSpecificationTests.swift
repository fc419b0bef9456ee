import Foundation
import ReadSelectors
import Testing

@testable import Core

/// The drivers' own test data for server selection and max staleness.
@Suite(.enabled(if: SpecificationFiles.root != nil, "set QUORATE_SPEC to the folder of the specification files"))
struct ReadSelectorSpecificationTests {
    @Test(
        "servers are selected as the specification says",
        arguments: SpecificationFiles.under("server-selection/server_selection"))
    func serverSelection(file: SpecificationFiles.File) throws {
        try check(file)
    }

    @Test("stale members are left out as the specification says", arguments: SpecificationFiles.under("max-staleness"))
    func maxStaleness(file: SpecificationFiles.File) throws {
        try check(file)
    }

    private func check(_ file: SpecificationFiles.File) throws {
        let json = try file.load()
        let topology = try topology(json)
        let preference = try readPreference(json["read_preference"] as? [String: Any] ?? [:])
        let operation: ServerSelection.Operation = json["operation"] as? String == "write" ? .write : .read
        let avoiding = try servers(json["deprioritized_servers"]).map(\.address)
        if json["error"] as? Bool == true {
            #expect(throws: InvalidReadPreference.self) {
                try ServerSelection.suitable(topology, operation, preference, avoiding: avoiding)
            }
            return
        }
        let suitable = try ServerSelection.suitable(topology, operation, preference, avoiding: avoiding)
        #expect(Set(suitable.map(\.address)) == Set(try servers(json["suitable_servers"]).map(\.address)))
        let request = ReadSelectionRequest(topology: topology, preference: preference, suitable: suitable)
        let window = MongoDBReadSelector().latencyWindow(request).map(\.address)
        #expect(Set(window) == Set(try servers(json["in_latency_window"]).map(\.address)))
    }

    @Test(
        "operations in flight spread the choice as the specification says",
        arguments: SpecificationFiles.under("server-selection/in_window"))
    func inWindow(file: SpecificationFiles.File) throws {
        let json = try file.load()
        let topology = try topology(json)
        var statistics: [Endpoint: MemberStatistics] = [:]
        for state in json["mocked_topology_state"] as? [[String: Any]] ?? [] {
            let address = try #require(Endpoint(state["address"] as? String ?? ""))
            statistics[address] = MemberStatistics(operationsInFlight: state["operation_count"] as? Int ?? 0)
        }
        let suitable = try ServerSelection.suitable(topology, .read, .nearest)
        let request = ReadSelectionRequest(
            topology: topology, preference: .nearest, suitable: suitable, statistics: statistics)
        var selector = MongoDBReadSelector()
        var random = SplitMix64(seed: 11)
        let iterations = json["iterations"] as? Int ?? 0
        var picked: [Endpoint: Int] = [:]
        for _ in 0..<iterations {
            let address = try #require(selector.select(request) { UInt64.random(in: 0..<max($0, 1), using: &random) })
            picked[address, default: 0] += 1
        }
        let outcome = json["outcome"] as? [String: Any] ?? [:]
        let tolerance = (outcome["tolerance"] as? NSNumber)?.doubleValue ?? 0
        for (name, expected) in outcome["expected_frequencies"] as? [String: NSNumber] ?? [:] {
            let share = Double(picked[try #require(Endpoint(name)), default: 0]) / Double(iterations)
            let allowed = expected.doubleValue == 0 || expected.doubleValue == 1 ? 0 : tolerance
            #expect(abs(share - expected.doubleValue) <= allowed, "\(name): \(share)")
        }
    }

    @Test(
        "round trips are averaged as the specification says",
        arguments: SpecificationFiles.under("server-selection/rtt"))
    func roundTrip(file: SpecificationFiles.File) throws {
        let json = try file.load()
        func milliseconds(_ key: String) -> Duration? {
            (json[key] as? NSNumber).map { .nanoseconds(Int64(($0.doubleValue * 1e6).rounded())) }
        }
        var average = RoundTripAverage(average: milliseconds("avg_rtt_ms"))
        average.add(try #require(milliseconds("new_rtt_ms")))
        let difference = try #require(average.average) - (try #require(milliseconds("new_avg_rtt")))
        #expect(abs(difference.nanoseconds) <= 10)
    }

    // MARK: Reading the files

    private func topology(_ json: [String: Any]) throws -> TopologyDescription {
        let description = json["topology_description"] as? [String: Any] ?? [:]
        let kind = try #require(TopologyDescription.Kind(rawValue: description["type"] as? String ?? ""))
        var topology = TopologyDescription(kind: kind, servers: try servers(description["servers"]))
        if let milliseconds = json["heartbeatFrequencyMS"] as? Int {
            topology.heartbeatInterval = .milliseconds(milliseconds)
        }
        return topology
    }

    private func servers(_ json: Any?) throws -> [ServerDescription] {
        try (json as? [[String: Any]] ?? []).map { server in
            var description = ServerDescription(
                address: try #require(Endpoint(server["address"] as? String ?? "")),
                type: try #require(ServerType(rawValue: server["type"] as? String ?? "")))
            description.roundTripTime = (server["avg_rtt_ms"] as? Int).map { .milliseconds($0) }
            description.tags = server["tags"] as? [String: String] ?? [:]
            description.lastUpdate = Instant(nanoseconds: Int64(server["lastUpdateTime"] as? Int ?? 0) * 1_000_000)
            let lastWrite = server["lastWrite"] as? [String: Any]
            if let date = (lastWrite?["lastWriteDate"] as? [String: Any])?["$numberLong"] as? String {
                description.lastWriteDate = Int64(date).map { WallTime(milliseconds: $0) }
            }
            return description
        }
    }

    private func readPreference(_ json: [String: Any]) throws -> ReadPreference {
        let name = json["mode"] as? String ?? "Primary"
        let mode = try #require(ReadPreference.Mode(rawValue: name.prefix(1).lowercased() + name.dropFirst()))
        return ReadPreference(
            mode, tagSets: json["tag_sets"] as? [[String: String]] ?? [],
            maxStalenessSeconds: json["maxStalenessSeconds"] as? Int)
    }
}
