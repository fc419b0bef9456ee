import Testing

/// Names that node code may not use, because they reach past its runtime (docs/ARCHITECTURE.md, "The same code under
/// virtual time"), and names that no code may use.
@Suite struct BannedNameTests {
    /// Modules that run outside nodes: they may read clocks and start tasks.
    private static let outside: Set<String> = ["LiveRuntime", "CommandLine", "Benchmarks", "quorate-cli", "QueryFuzz"]
    /// Files of other modules that wait, or start tasks, for their callers; not for nodes.
    private static let exempt: Set<String> = [
        "Sources/Quorate/Running/RunningReplicaSet.swift", "Sources/Quorate/Running/SetMember.swift",
        "Sources/Quorate/Sharded/RunningShardedCluster.swift", "Sources/Quorate/Sharded/ClusterRouter.swift",
    ]

    private static let nodeCode = [
        "Date()", "Task.sleep", "ContinuousClock", "SuspendingClock", "Task.detached", "Task {", "Task(", "async let ",
        "withTaskGroup", "withThrowingTaskGroup", "SystemRandomNumberGenerator", ".shuffled()", ".randomElement()",
        "DispatchQueue", "NSLock", "import Foundation", "clock_gettime", "gettimeofday", "nanosleep", "usleep",
        "getrandom", "fopen", "MainActor", "actor ",
    ]
    private static let traps = ["try!", " as! ", "fatalError("]
    private static let notes = ["TODO", "FIXME", "XXX"]

    /// Where a runtime makes its tasks.
    private static let makers: Set<String> = [
        "Sources/Simulation/Runtime/SimulatedRuntime.swift", "Sources/Core/Runtime.swift",
    ]

    @Test("node code uses no clock, task, randomness or lock but its runtime's")
    func nodeCodeKeepsToItsRuntime() {
        for file in SourceTree.swiftFiles(in: "Sources", "Plugins")
        where !Self.outside.contains(file.module) && !Self.exempt.contains(file.path) {
            for (number, line) in file.lines.enumerated() {
                let code = line.codeOnly
                for name in Self.nodeCode where Self.uses(name, code) {
                    if name.hasPrefix("Task"), Self.makers.contains(file.path) { continue }
                    Issue.record("\(file.path):\(number + 1) uses '\(name)'")
                }
            }
        }
    }

    @Test("no code traps on purpose or leaves a note to finish it later")
    func noTrapsNoNotes() {
        let banned = Self.traps + Self.notes
        for file in SourceTree.swiftFiles(in: "Sources", "Plugins", "Tests") where file.module != "TidyTests" {
            for (number, line) in file.lines.enumerated() {
                for name in banned where Self.uses(name, Self.notes.contains(name) ? line : line.codeOnly) {
                    // A benchmark that cannot go on has nobody to report to; a test that traps has failed.
                    if !Self.notes.contains(name), file.module == "Benchmarks" || file.path.hasPrefix("Tests/") {
                        continue
                    }
                    Issue.record("\(file.path):\(number + 1) uses '\(name)'")
                }
            }
        }
    }

    /// Whether `code` has `name`, not as the end of a longer word.
    static func uses(_ name: String, _ code: String) -> Bool {
        var rest = code[...]
        while let range = rest.firstRange(of: name) {
            let before = range.lowerBound == code.startIndex ? " " : code[code.index(before: range.lowerBound)]
            let startsWord = name.first?.isLetter != true || !(before.isLetter || before.isNumber || before == "_")
            if startsWord { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }

    @Test("a banned name is found as a word, not inside another one or in a comment")
    func findsWords() {
        #expect(Self.uses("Task {", "        Task { await work() }"))
        #expect(!Self.uses("Task {", "func make() -> SpawnedTask {"))
        #expect(Self.uses("actor ", "public actor Node {"))
        #expect(!Self.uses("actor ", "let factor = 2"))
        #expect("let a = 1  // Task { no }".codeOnly == "let a = 1  ")
        #expect("print(\"Task { no }\")".codeOnly == "print(\")")
    }
}
