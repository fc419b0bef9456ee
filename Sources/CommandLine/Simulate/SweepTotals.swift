internal import Simulation

/// What many seeds came to.
struct SweepTotals {
    private(set) var seeds = 0
    private(set) var failed: [UInt64] = []
    private var sums: [String: Int] = [:]
    /// In how many seeds each name was counted at all.
    private var seedsWith: [String: Int] = [:]

    mutating func add(_ counts: [(name: String, count: Int)]) {
        seeds += 1
        for (name, count) in counts where count > 0 {
            sums[name, default: 0] += count
            seedsWith[name, default: 0] += 1
        }
    }

    mutating func addFailure(of seed: UInt64) {
        seeds += 1
        failed.append(seed)
    }

    func sum(_ name: String) -> Int { sums[name] ?? 0 }

    /// Faults and probes that a sweep should have hit and has not.
    var missing: [String] {
        let faults = FaultKind.allCases.map(\.rawValue).filter { sum("f:\($0)") == 0 }
        let probes = RandomScenario.expectedProbes.filter { sum("p:\($0)") == 0 }
        return faults.map { "fault '\($0)'" } + probes.map { "probe '\($0)'" }
    }

    /// The summary, in lines. `seconds`: what it took.
    func lines(seconds: Double) -> [String] {
        let virtual = Double(sum("virtual ms")) / 1000
        var lines = [
            "\(seeds) seeds, \(failed.count) failed; \(Self.rounded(virtual / 3600)) simulated hours in "
                + "\(Int(seconds)) s (\(Int(virtual / max(seconds, 0.001))) times real time); "
                + "\(sum("events")) events, \(sum("elections")) elections, \(sum("restarts")) restarts, "
                + "\(sum("p:rollback")) rollbacks, \(sum("unavailable")) sets unavailable for good"
        ]
        for (prefix, title) in [("f:", "faults"), ("p:", "probes"), ("o:", "operations")] {
            let counted = sums.keys.filter { $0.hasPrefix(prefix) }.sorted()
                .map { "\($0.dropFirst(2)) \(sum($0)) (\(seedsWith[$0] ?? 0) seeds)" }
            if !counted.isEmpty { lines.append("\(title): \(counted.joined(separator: ", "))") }
        }
        if !missing.isEmpty { lines.append("never hit: \(missing.joined(separator: ", "))") }
        if !failed.isEmpty { lines.append("failed: \(failed.sorted().map { "\($0)" }.joined(separator: " "))") }
        return lines
    }

    private static func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
