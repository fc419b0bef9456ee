import Testing

@testable import CommandLine

/// How command lines are read.
@Suite struct ArgumentTests {
    private static let tree = CommandSpecification(
        "tool", summary: "A tool.",
        subcommands: [
            CommandSpecification(
                "build", summary: "Builds.", details: "Takes its time.", positionals: ["TARGET", "REST…"],
                options: [
                    OptionSpecification("jobs", .integer(1...64), "N", default: "2", help: "how many at once"),
                    OptionSpecification(
                        "mode", .choice(["debug", "release"]), "MODE", default: "debug", help: "which kind"),
                    OptionSpecification("verbose", .flag, help: "says more"),
                    OptionSpecification("set", .repeated, "NAME=VALUE", help: "a setting"),
                    OptionSpecification("output", .text, "FILE", help: "where to"),
                ], run: { _ in 0 }),
            CommandSpecification(
                "cache", summary: "Looks after the cache.",
                subcommands: [CommandSpecification("clear", summary: "Empties it.", run: { _ in 0 })]),
        ])

    private func parse(_ words: String...) throws -> Arguments {
        guard case .run(_, let arguments) = try ArgumentParser(Self.tree).parse(["tool"] + words) else {
            throw UsageError("not a command to run")
        }
        return arguments
    }

    private func failure(_ words: String...) -> String? {
        do {
            _ = try ArgumentParser(Self.tree).parse(["tool"] + words)
            return nil
        } catch {
            return error.description
        }
    }

    private func help(_ words: String...) throws -> String? {
        guard case .help(let text) = try ArgumentParser(Self.tree).parse(["tool"] + words) else { return nil }
        return text
    }

    @Test("options that are not given have their defaults")
    func defaults() throws {
        let arguments = try parse("build", "all")
        #expect(arguments.integer("jobs") == 2)
        #expect(arguments.text("mode") == "debug")
        #expect(arguments.text("output") == nil)
        #expect(!arguments.flag("verbose"))
        #expect(!arguments.isGiven("jobs"))
        #expect(arguments.positionals == ["all"])
    }

    @Test("a value follows its option behind a space or an equals sign, and the last one counts")
    func values() throws {
        let arguments = try parse(
            "build", "--jobs=3", "all", "--mode", "release", "--jobs", "4", "--output", "-", "--verbose")
        #expect(arguments.integer("jobs") == 4)
        #expect(arguments.text("mode") == "release")
        #expect(arguments.text("output") == "-")
        #expect(arguments.flag("verbose"))
    }

    @Test("a repeated option keeps all its values in order, also those with an equals sign")
    func repeated() throws {
        #expect(try parse("build", "all", "--set", "a=1", "--set=b=2").list("set") == ["a=1", "b=2"])
    }

    @Test("behind -- everything is positional")
    func onlyPositionals() throws {
        #expect(try parse("build", "all", "--", "--jobs", "x").positionals == ["all", "--jobs", "x"])
    }

    @Test("an unknown command or option is refused with the nearest name")
    func unknownNames() {
        #expect(failure("biuld") == "unknown command 'biuld'; did you mean 'build'?; see 'tool --help'")
        #expect(failure("build", "all", "--job", "3")?.contains("did you mean '--jobs'?") == true)
        #expect(failure("cache", "claer")?.contains("did you mean 'clear'?") == true)
        #expect(failure("build", "all", "--zzzzzzzzz") == "unknown option '--zzzzzzzzz'; see 'tool build --help'")
        #expect(failure("--verison")?.hasPrefix("unknown option '--verison'") == true)
    }

    @Test("a value that does not fit is refused and what would fit is named")
    func badValues() {
        #expect(failure("build", "all", "--jobs", "0") == "--jobs must be a whole number from 1 to 64, not '0'")
        #expect(failure("build", "all", "--jobs", "many")?.contains("not 'many'") == true)
        #expect(failure("build", "all", "--jobs", "99999999999999999999")?.contains("from 1 to 64") == true)
        #expect(
            failure("build", "all", "--mode", "relaese")
                == "--mode must be one of debug, release, not 'relaese'; did you mean 'release'?")
        #expect(failure("build", "all", "--verbose=yes") == "--verbose takes no value")
        #expect(failure("build", "all", "--output") == "--output needs a value: FILE")
    }

    @Test("missing and surplus arguments are named")
    func positionals() {
        #expect(failure("build") == "missing TARGET; see 'tool build --help'")
        #expect(failure("cache", "clear", "now") == "unexpected argument 'now'; see 'tool cache clear --help'")
    }

    @Test("help is there at every level, and where a command is missing", arguments: ["--help", "-h", "help"])
    func helpEverywhere(word: String) throws {
        #expect(try help(word)?.contains("build  Builds.") == true)
        #expect(try help()?.contains("usage: tool COMMAND …") == true)
        #expect(try help("cache", word)?.contains("usage: tool cache COMMAND …") == true)
        #expect(try help("cache")?.contains("clear") == true)
        guard word != "help" else { return }
        let page = try help("build", "all", word) ?? ""
        #expect(page.contains("usage: tool build TARGET REST… [OPTION …]"))
        #expect(page.contains("--jobs N") && page.contains("(default: 2)"))
        #expect(page.contains("Takes its time."))
    }

    @Test("--version is understood in front of every command only")
    func version() throws {
        guard case .version = try ArgumentParser(Self.tree).parse(["tool", "--version"]) else {
            Issue.record("--version was not understood")
            return
        }
        #expect(failure("build", "--version") != nil)
    }

    @Test("the distance between two words is the number of edits between them")
    func editDistance() {
        func distance(_ a: String, _ b: String) -> Int { Spelling.editDistance(Array(a.utf8), Array(b.utf8)) }
        #expect(distance("", "abc") == 3)
        #expect(distance("abc", "") == 3)
        #expect(distance("abc", "abc") == 0)
        #expect(distance("kitten", "sitting") == 3)
        #expect(Spelling.nearest(to: "memroy", among: ["memory", "file"]) == "memory")
        #expect(Spelling.nearest(to: "xyzzy", among: ["memory", "file"]) == nil)
        #expect(Spelling.nearest(to: "x", among: []) == nil)
    }
}
