internal import Core
internal import Simulation

/// `quorate simulate`: runs of a replica set under random faults, in virtual time.
enum SimulateCommand {
    static let specification = CommandSpecification(
        "simulate", summary: "Runs replica sets under random faults in virtual time and checks what they promise.",
        details: """
            Each seed is one run: members crash, stall and lose their network while clients read and write; then
            everything is healed, and the members must agree and hold every acknowledged write. The same seed gives the
            same run. Several seeds run in processes of their own. Exit status 1 when a seed fails; it is printed with
            its last events and the command that repeats it.

            Scenarios:
            \(NamedScenario.all.map { "  \($0.name)  \($0.summary)" }.joined(separator: "\n"))

            Experiments:
              election-timing  elections of five members by the spread of their timeouts, as in the Raft paper (§9.3)
              balancer         100 shards and a million chunks brought into balance, by shard key and workload
            """,
        options: [
            OptionSpecification("seed", .integer(0...Int.max), "S", help: "runs this seed"),
            OptionSpecification("seeds", .text, "A..B", help: "runs the seeds from A to B"),
            OptionSpecification("scenario", .text, "NAME", help: "runs a scenario instead; 'list' lists them"),
            OptionSpecification(
                "experiment", .choice(["election-timing", "balancer"]), "NAME",
                help: "measures something, and prints a table"),
            OptionSpecification(
                "trials", .integer(1...1_000_000), "N", default: "1000",
                help: "trials of each setting of an experiment; thousands of chunks of 'balancer'"
            ),
            OptionSpecification("raw", .flag, help: "prints each trial of an experiment: scripts/election-timing-plot"),
            OptionSpecification("jobs", .integer(1...256), "N", default: "2", help: "how many processes run seeds"),
            OptionSpecification(
                "members", .integer(1...Limits.votersMax), "N",
                help: "how many members; the default is drawn from the seed"),
            OptionSpecification(
                "files", .flag, help: "all sets keep their data in files, on disks that lose what was not synced"),
            OptionSpecification(
                "seconds", .integer(1...100_000), "T", default: "12",
                help: "virtual seconds during which faults happen"),
            OptionSpecification(
                "lines", .integer(1...Timeline.linesMax), "N", default: "100",
                help: "how many last events a failure shows; given, a scenario always shows them"),
            OptionSpecification(
                "mutant", .choice(Mutants.all.map(\.name)), "NAME",
                help: "plants a bug in the simulated members, to see it found"),
            OptionSpecification(
                "idle", .flag, help: "measures how much faster than real time an idle set of three runs"),
            OptionSpecification("all-faults", .flag, help: "fails when some fault or rare path never happened"),
            OptionSpecification("worker", .flag, help: "writes lines for the sweep that started this process"),
        ]
    ) { try run($0) }

    private static func run(_ arguments: Arguments) throws -> Int32 {
        if let mutant = arguments.text("mutant"), !Mutants.areBuiltIn {
            throw UsageError("--mutant \(mutant): this build has no planted bugs (QUORATE_SIMULATION=0)")
        }
        if let name = arguments.text("scenario") { return try runScenario(name, arguments) }
        if arguments.flag("idle") { return try measureIdle() }
        switch arguments.text("experiment") {
        case "election-timing": return try runElectionTiming(arguments)
        case "balancer": return try runBalancer(arguments)
        default: break
        }
        let seeds = try seeds(arguments)
        if arguments.flag("worker") { return runHere(seeds, arguments) { for line in $0 { Console.print(line) } } }
        return seeds.count == 1 ? runOne(seeds.lowerBound, arguments) : try sweep(seeds, arguments)
    }

    /// Options that belong to the seed: its workers and whoever repeats it need them.
    private static func passedOn(_ arguments: Arguments) -> [String] {
        ["members", "seconds", "lines", "mutant"].filter { arguments.isGiven($0) }
            .flatMap { ["--\($0)", arguments.text($0) ?? ""] } + (arguments.flag("files") ? ["--files"] : [])
    }

    private static func scenario(_ seed: UInt64, _ arguments: Arguments) -> RandomScenario {
        var swarm = Swarm(seed: seed)
        if let members = arguments.integer("members") {
            swarm.kinds = Array(repeating: .normal, count: members)
            swarm.spares = []
        }
        if arguments.flag("files") { swarm.useFiles(seed: seed) }
        swarm.safetyPhase = .seconds(arguments.integer("seconds") ?? 12)
        swarm.mutants = mutants(arguments)
        return RandomScenario(swarm: swarm)
    }

    private static func mutants(_ arguments: Arguments) -> Mutants {
        Mutants.all.first { $0.name == arguments.text("mutant") }?.mutant ?? []
    }

    // MARK: Seeds

    private static func runHere(
        _ seeds: ClosedRange<UInt64>, _ arguments: Arguments, _ tell: ([String]) -> Void
    ) -> Int32 {
        var status: Int32 = 0
        for seed in seeds {
            tell([SeedLines.begin(seed)])
            do {
                tell([SeedLines.done(try scenario(seed, arguments).run(seed: seed))])
            } catch let failure as SeedFailure {
                status = 1
                tell(SeedLines.failed(failure, lines: arguments.integer("lines") ?? 100))
            } catch {
                status = 1
                tell(["failed \(seed);\(error)", "end \(seed)"])
            }
        }
        return status
    }

    private static func runOne(_ seed: UInt64, _ arguments: Arguments) -> Int32 {
        do {
            Console.print(line(try scenario(seed, arguments).run(seed: seed)))
            return 0
        } catch let failure as SeedFailure {
            printFailure(seed, [failure.reason] + failure.timeline.suffix(arguments.integer("lines") ?? 100), arguments)
        } catch {
            printFailure(seed, ["\(error)"], arguments)
        }
        return 1
    }

    private static func printFailure(_ seed: UInt64, _ lines: [String], _ arguments: Arguments) {
        Console.print("seed \(seed) FAILED: \(lines.first ?? "")")
        for line in lines.dropFirst() { Console.print(line) }
        let options = passedOn(arguments).map { " \($0)" }.joined()
        Console.print("repeat with: quorate simulate --seed \(seed)\(options)")
    }

    private static func sweep(_ seeds: ClosedRange<UInt64>, _ arguments: Arguments) throws -> Int32 {
        var totals = SweepTotals()
        let start = SweepRunner.seconds
        let runner = SweepRunner(
            jobs: arguments.integer("jobs") ?? 2, arguments: passedOn(arguments),
            report: { seed, lines in
                totals.addFailure(of: seed)
                printFailure(seed, lines, arguments)
            },
            count: { counts in
                totals.add(counts)
                // A long sweep that is stopped has said how far it came.
                guard totals.seeds % 1000 == 0 else { return }
                for line in totals.lines(seconds: SweepRunner.seconds - start) { Console.print(line) }
            })
        try runner.run(seeds)
        for line in totals.lines(seconds: SweepRunner.seconds - start) { Console.print(line) }
        if arguments.flag("all-faults"), !totals.missing.isEmpty { return 1 }
        return totals.failed.isEmpty ? 0 : 1
    }

    private static func line(_ report: SeedReport) -> String {
        let faults = report.faults.map { "\($0.name) \($0.count)" }.joined(separator: ", ")
        let probes = report.probes.map { "\($0.name) \($0.count)" }.joined(separator: ", ")
        return "seed \(report.seed): \(report.members) members, \(report.policy), "
            + "\(report.usesFiles ? "files on disks" : report.remembers ? "with disks" : "without disks"), "
            + "\(report.virtualTime.wholeMilliseconds / 1000) virtual s, \(report.elections) elections, "
            + "\(report.restarts) restarts\(report.isAvailable ? "" : ", unavailable for good"); "
            + "faults: \(faults.isEmpty ? "none" : faults); probes: \(probes.isEmpty ? "none" : probes); "
            + "trace \(String(report.traceHash, radix: 16))"
    }

    // MARK: Scenarios and measurements

    private static func runScenario(_ name: String, _ arguments: Arguments) throws -> Int32 {
        if name == "list" {
            for scenario in NamedScenario.all { Console.print("\(scenario.name)  \(scenario.summary)") }
            return 0
        }
        guard let scenario = NamedScenario.all.first(where: { $0.name == name }) else {
            throw UsageError("no scenario is called '\(name)'; --scenario list lists them")
        }
        var failures: Int32 = 0
        for seed in try seeds(arguments) {
            do {
                let (summary, timeline) = try scenario.run(seed: seed, mutants: mutants(arguments))
                Console.print("scenario \(name), seed \(seed): \(summary)")
                if arguments.isGiven("lines") {
                    for line in timeline.suffix(arguments.integer("lines") ?? 0) { Console.print(line) }
                }
            } catch let failure as SeedFailure {
                failures = 1
                Console.print("scenario \(name), seed \(seed) FAILED: \(failure.reason)")
                for line in failure.timeline.suffix(arguments.integer("lines") ?? 100) { Console.print(line) }
                Console.print("repeat with: quorate simulate --scenario \(name) --seed \(seed)")
            }
        }
        return failures
    }

    private static func measureIdle() throws -> Int32 {
        for (name, timing) in [("MongoDB's timing", SimulatedReplicaSet.Timing.mongoDB), ("fast timing", .init())] {
            let world = SimulatedWorld(seed: 1)
            let set = SimulatedReplicaSet(world, members: 3, timing: timing)
            try set.start()
            let start = SweepRunner.seconds
            let events = world.eventCount
            try world.run(for: .seconds(3600))
            let seconds = SweepRunner.seconds - start
            let rate = Double(world.eventCount - events) / seconds
            Console.print(
                "an idle set of three, \(name): one virtual hour in \(Int(seconds * 1000)) ms, "
                    + "\(Int(3600 / seconds)) times real time, \(Int(rate)) events a second")
        }
        return 0
    }

    private static func runElectionTiming(_ arguments: Arguments) throws -> Int32 {
        let trials = arguments.integer("trials") ?? 1000
        let isRaw = arguments.flag("raw")
        if !isRaw { Console.print(ElectionTiming.header) }
        for spread in ElectionTiming.spreads {
            let times = try ElectionTiming.run(
                spreadMillis: spread, trials: trials, seed: UInt64(arguments.integer("seed") ?? 1))
            if isRaw {
                for time in times { Console.print("\(spread) \(Double(time.nanoseconds) / 1e6)") }
            } else {
                Console.print(ElectionTiming.line(spreadMillis: spread, times))
            }
        }
        return 0
    }

    private static func runBalancer(_ arguments: Arguments) throws -> Int32 {
        if arguments.flag("raw") { throw UsageError("--raw is for the experiment 'election-timing'") }
        Console.print(BalancerExperiment.header)
        for sharding in BalancerExperiment.shardings {
            for workload in BalancerExperiment.Workload.allCases {
                Console.print(
                    try BalancerExperiment.run(
                        sharding, workload, shards: 100, chunks: 1000 * (arguments.integer("trials") ?? 1000),
                        seed: UInt64(arguments.integer("seed") ?? 1)))
            }
        }
        return 0
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
