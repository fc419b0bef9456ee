import Foundation
import Testing

@testable import Simulation

/// One pair of runs agrees by luck: hash seeds, addresses and the environment's size are the same within a process. So
/// the seeds also run in a process of their own, with another environment.
struct OtherProcessTests {
    private static let outputVariable = "QUORATE_TRACE_OUTPUT"

    private func hashes() throws -> String {
        let chatty = try (UInt64(1)...24).map { seed in
            let world = try runChattyWorld(seed: seed, shuffles: seed % 3 == 0)
            return "\(seed) \(world.trace.count) \(String(world.trace.hash, radix: 16))"
        }
        let sets = try (UInt64(1)...20).map { seed in
            var scenario = RandomScenario(seed: seed)
            scenario.swarm.safetyPhase = .seconds(2)
            let report = try scenario.run(seed: seed)
            return "set \(seed) \(report.events) \(String(report.traceHash, radix: 16))"
        }
        return (chatty + sets).joined(separator: "\n")
    }

    @Test(
        "writes this process's hashes for the test below",
        .enabled(if: ProcessInfo.processInfo.environment[outputVariable] != nil, "runs only as the other process"))
    func probe() throws {
        let path = try #require(ProcessInfo.processInfo.environment[Self.outputVariable])
        try hashes().write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test(
        "another process with another environment has the same traces",
        .enabled(if: ProcessInfo.processInfo.environment[outputVariable] == nil, "runs only as the first process"))
    func otherProcess() throws {
        let path = NSTemporaryDirectory() + "quorate-trace-\(ProcessInfo.processInfo.processIdentifier)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["--testing-library", "swift-testing", "--filter", "OtherProcessTests"]
        process.environment = ProcessInfo.processInfo.environment.merging(
            [Self.outputVariable: path, "PADDING": String(repeating: "x", count: 5000)]) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let other = try String(contentsOfFile: path, encoding: .utf8)
        #expect(try hashes() == other)
    }
}
