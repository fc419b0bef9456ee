import Foundation
import Testing

/// A script of events with the directives that must come of them, in `testdata`: made to be read.
///
/// Blocks are separated by empty lines. A block is comments (`# …`), commands, a line `----` and what the last command
/// and those before it answered, one directive a line. With `QUORATE_REWRITE=1` in the environment the answers are
/// written anew instead of compared; look at the difference before committing it.
struct GoldenFile {
    /// One command: a name, arguments, and fields `key=value`.
    struct Command {
        let name: String
        let arguments: [String]
        let fields: [String: String]

        init(_ line: Substring) throws {
            let words = line.split(separator: " ").map(String.init)
            name = words[0]
            arguments = words.dropFirst().filter { !$0.contains("=") }
            fields = Dictionary(
                words.dropFirst().compactMap { word in
                    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
                }, uniquingKeysWith: { $1 })
        }

        func has(_ flag: String) -> Bool { arguments.contains(flag) }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static var isRewriting: Bool { ProcessInfo.processInfo.environment["QUORATE_REWRITE"] == "1" }

    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
            + "/testdata/\(name).txt"
    }

    /// Runs the script called `name`, with what carries a command out and says what came of it.
    static func check(_ name: String, _ run: (Command) throws -> [String]) throws {
        let old = try String(contentsOfFile: path(name), encoding: .utf8)
        var blocks: [String] = []
        for block in old.split(separator: "\n\n", omittingEmptySubsequences: true) {
            var kept: [Substring] = []
            var answer: [String] = []
            var hasAnswer = false
            for line in block.split(separator: "\n") {
                if line == "----" { hasAnswer = true }
                if hasAnswer { break }
                kept.append(line)
                if !line.hasPrefix("#") { answer += try run(Command(line)) }
            }
            var new = kept.joined(separator: "\n")
            if kept.contains(where: { !$0.hasPrefix("#") }) {
                new += "\n----\n" + (answer.isEmpty ? "nothing" : answer.joined(separator: "\n"))
            }
            blocks.append(new)
            guard !isRewriting else { continue }
            let expected = block.trimmingCharacters(in: .newlines)
            #expect(new == expected, "testdata/\(name).txt")
        }
        if isRewriting {
            try (blocks.joined(separator: "\n\n") + "\n").write(toFile: path(name), atomically: true, encoding: .utf8)
        }
    }
}
