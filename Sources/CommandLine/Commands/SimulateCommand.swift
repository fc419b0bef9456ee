internal import Core
internal import Simulation

/// `quorate simulate`: runs of a replica set under random faults, in virtual time.
enum SimulateCommand {
    static let specification = CommandSpecification(
        "simulate", summary: "Runs replica sets under random faults in virtual time and checks what they promise.",
        details: """
            Each seed is one run: members crash, stall and lose their network while clients write; then everything is
            healed, and the members must agree and hold every acknowledged write. The same seed gives the same run.
            Exit status 1 when a seed fails; it is printed with its last events and the command that repeats it.
            """,
        options: [
            OptionSpecification("seed", .integer(0...Int.max), "S", help: "runs this seed"),
            OptionSpecification("seeds", .text, "A..B", help: "runs the seeds from A to B"),
            OptionSpecification(
                "members", .integer(1...Limits.votersMax), "N",
                help: "how many members; the default is drawn from the seed"),
            OptionSpecification(
                "seconds", .integer(1...100_000), "T", default: "20",
                help: "virtual seconds during which faults happen"),
            OptionSpecification(
                "lines", .integer(1...3000), "N", default: "60", help: "how many last events a failure shows"),
        ]
    ) { try run($0) }

    private static func run(_ arguments: Arguments) throws -> Int32 {
        var failures = 0
        let seeds = try seeds(arguments)
        for seed in seeds {
            var scenario = RandomScenario(seed: seed)
            if let members = arguments.integer("members") { scenario.members = members }
            scenario.safetyPhase = .seconds(arguments.integer("seconds") ?? 20)
            do {
                Console.print(line(try scenario.run(seed: seed)))
            } catch let failure as RandomScenario.Failure {
                failures += 1
                Console.print("seed \(seed) FAILED: \(failure.reason)")
                for line in failure.timeline.suffix(arguments.integer("lines") ?? 60) { Console.print(line) }
                Console.print("repeat with: \(command(seed, arguments))")
            }
        }
        if seeds.count > 1 { Console.print("\(seeds.count) seeds, \(failures) failed") }
        return failures == 0 ? 0 : 1
    }

    private static func command(_ seed: UInt64, _ arguments: Arguments) -> String {
        var command = "quorate simulate --seed \(seed)"
        for option in ["members", "seconds"] where arguments.isGiven(option) {
            command += " --\(option) \(arguments.text(option) ?? "")"
        }
        return command
    }

    private static func line(_ report: RandomScenario.Report) -> String {
        let faults = report.faults.map { "\($0.name) \($0.count)" }.joined(separator: ", ")
        return "seed \(report.seed): \(report.members) members, \(report.policy), "
            + "\(report.virtualTime.wholeMilliseconds / 1000) virtual s, \(report.elections) elections, "
            + "\(report.acknowledged) writes acknowledged, \(report.unknown) unknown, \(report.restarts) restarts; "
            + (faults.isEmpty ? "no faults" : faults) + "; trace \(String(report.traceHash, radix: 16))"
    }

    private static func seeds(_ arguments: Arguments) throws(UsageError) -> ClosedRange<UInt64> {
        if let range = arguments.text("seeds") {
            let parts = range.split(separator: ".", omittingEmptySubsequences: true)
            guard parts.count == 2, range.contains(".."), let first = UInt64(parts[0]), let last = UInt64(parts[1]),
                first <= last
            else { throw UsageError("--seeds needs A..B with A not above B, not '\(range)'") }
            return first...last
        }
        let seed = UInt64(arguments.integer("seed") ?? 1)
        return seed...seed
    }
}
