import Quorate
import Synchronization
import Testing

@testable import CommandLine

/// The program's own command line, as far as it starts nothing.
@Suite struct ProgramTests {
    private struct Outcome {
        var status: Int32
        var output: String
        var errors: [String]
    }

    private func run(_ words: [String]) async -> Outcome {
        let capture = Console.Capture()
        let status = await Console.$capture.withValue(capture) {
            await QuorateProgram.run(["quorate"] + words, registry: .standard)
        }
        return Outcome(
            status: status, output: capture.output.withLock { $0.joined(separator: "\n") },
            errors: capture.errors.withLock { $0 })
    }

    /// The exit status, once output and errors are where they belong.
    private func status(_ words: String...) async -> Int32 {
        let outcome = await run(words)
        if outcome.status == 0 {
            #expect(outcome.errors.isEmpty && !outcome.output.isEmpty)
        } else {
            #expect(outcome.output.isEmpty && outcome.errors.count == 1)
            #expect(outcome.errors.allSatisfy { $0.hasPrefix("quorate: ") && !$0.contains("\n") })
        }
        return outcome.status
    }

    private func parse(_ words: String...) throws -> ParsedCommand {
        try ArgumentParser(QuorateProgram.specification(.standard)).parse(["quorate"] + words)
    }

    @Test("help, version and the list of parts end well")
    func informs() async {
        #expect(await status("--version") == 0)
        #expect(await status() == 0)
        #expect(await status("--help") == 0)
        #expect(await status("plugins") == 0)
        for command in ["up", "node", "bench", "status", "plugins"] { #expect(await status(command, "--help") == 0) }
        #expect(await status("up", "replica-set", "--help") == 0)
    }

    @Test("the list of parts names every part and how its options are set")
    func listsParts() async {
        let output = await run(["plugins"]).output
        for section in PartRegistry.standard.sections {
            let choice = "--\(section.flag) NAME"
            #expect(output.contains("\(section.title) (\(choice))"))
            for part in section.entries { #expect(output.contains("  \(part.name): \(part.summary)")) }
        }
        #expect(output.contains("--set fast.minimumDelayMillis="))
    }

    @Test("what cannot be understood ends with the status of a usage error, before anything is started")
    func usageErrors() async {
        #expect(await status("upp") == 64)
        #expect(await status("node", "--prot", "1") == 64)
        #expect(await status("node", "--port", "70000") == 64)
        #expect(await status("node", "--storage", "memroy") == 64)
        #expect(await status("node", "--transport", "carrier-pigeon") == 64)
        #expect(await status("node", "--election-policy", "fsat") == 64)
        #expect(await status("node", "--read-selector", "nearest") == 64)
        #expect(await status("node", "--port", "0", "--dbpath", "/data", "--storage", "memory") == 64)
        #expect(await status("up", "replica-set", "--port", "0", "--dbpath", "/data", "--storage", "memory") == 64)
        #expect(await status("node", "--port", "0", "--replset", "") == 64)
        #expect(await status("node", "--port", "0", "--replset", "rs0/127.0.0.1:1") == 64)
        #expect(await status("up", "replica-set", "--port", "0", "--name", "") == 64)
        #expect(await status("up", "replica-set", "--port", "0", "--name", "a/b") == 64)
        #expect(await status("up", "replica-set", "--members", "0") == 64)
        #expect(await status("up", "replica-set", "--members", "8") == 64)
        #expect(await status("up", "replica-set", "--members", "5", "--arbiters", "3") == 64)
        #expect(await status("bench") == 64)
        #expect(await status("bench", "http://localhost") == 64)
        #expect(await status("bench", "mongodb://localhost", "--workload", "raed") == 64)
        #expect(await status("bench", "mongodb://localhost", "--read-preference", "nearest") == 64)
        #expect(
            await status("bench", "mongodb://localhost", "--workload", "read", "--read-selector", "least-lag") == 64)
        #expect(await status("bench", "mongodb://localhost", "--set", "enableTestCommands=1") == 64)
    }

    @Test("connection strings give seeds and the set's name, and refuse what cannot be served")
    func connectionStrings() throws {
        let string = try ConnectionString("mongodb://a:1,b:2,c/?replicaSet=rs0&w=1")
        #expect(string.seeds.map(\.description) == ["a:1", "b:2", "c:27017"])
        #expect(string.setName == "rs0")
        #expect(try ConnectionString("mongodb://localhost").setName == nil)
        for bad in ["", "a:1", "mongodb://", "mongodb://a:0", "mongodb://a:x", "mongodb://u:p@a:1", "mongodb://a,,b"] {
            #expect(throws: UsageError.self, "\(bad)") { try ConnectionString(bad) }
        }
    }
}
