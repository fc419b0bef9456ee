import Core
import Quorate
import Testing

@testable import CommandLine

/// The flags that choose parts: they follow the registry.
@Suite struct PartFlagTests {
    /// What this suite's own kind of parts makes.
    struct Cheese: Sendable {
        var age: String
    }

    /// A kind that the program does not know.
    static let cheese = PartKind<Cheese>(flag: "cheese", title: "cheese", help: "which cheese", defaultPart: "brie")

    private static let registry: PartRegistry = {
        var registry = PartRegistry.standard
        registry.register(cheese, Part("brie", summary: "soft") { _ in Cheese(age: "young") })
        registry.register(
            cheese,
            Part("gouda", summary: "hard", options: [PartOption("age", default: "old", help: "how old")]) {
                Cheese(age: $0.values["age"] ?? "old")
            })
        // The name of an election policy, with an option that it has not.
        registry.register(
            cheese,
            Part("fast", summary: "molten", options: [PartOption("heat", default: "1", help: "how hot")]) {
                Cheese(age: $0.values["heat"] ?? "1")
            })
        return registry
    }()

    @Test("a part that is left out says what to do to have it, in place of the names that are there")
    func leftOut() throws {
        var registry = Self.registry
        registry.leaveOut(Self.cheese, "roquefort", "needs a cave")
        #expect(registry.sections.last?.entries.map(\.name) == ["brie", "gouda", "fast"])
        #expect(throws: PartOptionError.self) { try registry.part(Self.cheese, "roquefort") }
        let parser = ArgumentParser(QuorateProgram.specification(registry))
        let words = ["quorate", "node", "--cheese", "roquefort"]
        do {
            _ = try parser.parse(words)
            Issue.record("it was taken")
        } catch {
            #expect("\(error)".contains("needs a cave"))
        }
        // Whoever brings it has it.
        registry.register(Self.cheese, Part("roquefort", summary: "blue") { _ in Cheese(age: "ripe") })
        _ = try parser.parse(["quorate", "node", "--cheese", "brie"])
        #expect(try registry.part(Self.cheese, "roquefort").make().age == "ripe")
    }

    private func flags(_ words: String...) throws -> PartFlags {
        let parser = ArgumentParser(QuorateProgram.specification(Self.registry))
        guard case .run(_, let arguments) = try parser.parse(["quorate", "node"] + words) else {
            throw UsageError("not a command to run")
        }
        return try PartFlags(arguments, Self.registry)
    }

    private func failure(_ words: String...) -> String? {
        do {
            let parser = ArgumentParser(QuorateProgram.specification(Self.registry))
            guard case .run(_, let arguments) = try parser.parse(["quorate", "node"] + words) else { return nil }
            _ = try NodeFlags(arguments, Self.registry)
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func cheese(_ words: String...) throws -> Cheese {
        let parser = ArgumentParser(QuorateProgram.specification(Self.registry))
        guard case .run(_, let arguments) = try parser.parse(["quorate", "up", "replica-set"] + words) else {
            throw UsageError("not a command to run")
        }
        let choice = try PartFlags(arguments, Self.registry).choice(Self.cheese, Self.registry)
        return try choice.make(Self.cheese, from: Self.registry)
    }

    @Test("a kind of parts that is registered has a flag with its parts, its default and its help")
    func everyKindHasAFlag() throws {
        guard
            case .help(let page) = try ArgumentParser(QuorateProgram.specification(Self.registry))
                .parse(["quorate", "node", "--help"])
        else {
            Issue.record("no help")
            return
        }
        for section in Self.registry.sections {
            #expect(page.contains("--\(section.flag) NAME"))
            #expect(page.contains("\(section.help) (default: \(section.defaultPart))"))
        }
        #expect(
            failure("--cheese", "goda") == "--cheese must be one of brie, gouda, fast, not 'goda'; "
                + "did you mean 'gouda'?")
    }

    @Test("shard key strategies are chosen where nodes of sharded clusters are started, and nowhere else")
    func shardKeys() throws {
        #expect(Self.registry.sections.contains { $0.flag == "shard-key-strategy" && $0.concernsSharding })
        for (command, takes) in [(["up", "replica-set"], false), (["up", "sharded"], true), (["node"], true)] {
            guard
                case .help(let page) = try ArgumentParser(QuorateProgram.specification(Self.registry))
                    .parse(["quorate"] + command + ["--help"])
            else {
                Issue.record("no help")
                continue
            }
            #expect(page.contains("--shard-key-strategy NAME") == takes)
        }
    }

    @Test("the flag chooses the part, and without it the default is made")
    func chooses() throws {
        #expect(try cheese().age == "young")
        #expect(try cheese("--cheese", "gouda").age == "old")
        #expect(try cheese("--cheese", "gouda", "--set", "gouda.age=ancient").age == "ancient")
    }

    @Test("parts of two kinds may have one name: each gets the options that it has")
    func sameName() throws {
        #expect(try cheese("--cheese", "fast", "--set", "fast.heat=9", "--set", "fast.minimumDelayMillis=7").age == "9")
        let policy = try flags("--cheese", "fast", "--set", "fast.heat=9", "--set", "fast.minimumDelayMillis=7")
            .choice(.electionPolicy, Self.registry)
        #expect(try policy.make(.electionPolicy, from: Self.registry).name == "fast")
    }

    @Test("an option is refused when its part is unknown, has no such option or is not in use")
    func badOptions() {
        #expect(failure("--set", "nonsense")?.contains("PART.OPTION=VALUE") == true)
        #expect(failure("--set", "fats.x=1") == "unknown part 'fats' in --set fats.x=1; did you mean 'fast'?")
        #expect(failure("--set", "fixed.membre=1") == "the part 'fixed' has no option 'membre'; did you mean 'member'?")
        #expect(
            failure("--set", "gouda.age=1")
                == "--set gouda.age=1 is about a part that is not in use: choose it with --cheese gouda")
        #expect(failure("--set", "enableTestCommands=maybe") == "--set enableTestCommands must be 0 or 1, not 'maybe'")
        #expect(failure("--set", "enableTestCommand=1")?.contains("did you mean 'enableTestCommands'?") == true)
        #expect(failure("--set", "fast.minimumDelayMillis=5", "--set", "enableTestCommands=1") == nil)
    }

    @Test("a part of one's own can be chosen on the same command line, and what it says of its options is shown")
    func ownPart() throws {
        var registry = PartRegistry.standard
        registry.register(
            .electionPolicy,
            Part("patient", summary: "waits", options: [PartOption("delay", default: "5", help: "how long")]) {
                throw PartOptionError("patient.delay must be a number, not '\($0.values["delay"] ?? "")'")
            })
        let parser = ArgumentParser(QuorateProgram.specification(registry))
        let line = ["quorate", "node", "--election-policy", "patient", "--set", "patient.delay=7"]
        guard case .run(_, let arguments) = try parser.parse(line) else {
            Issue.record("not a command to run")
            return
        }
        let parts = try NodeFlags(arguments, registry).parts
        #expect(parts.elections.name == "patient")
        #expect {
            _ = try parts.parts(from: registry)
        } throws: { error in
            "\(error)" == "patient.delay must be a number, not '7'"
        }
    }
}
