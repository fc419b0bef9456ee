import Foundation
import Testing

/// The pages quote code that is compiled, and their links lead somewhere.
@Suite struct DocumentationTests {
    private static var pages: [SourceTree.File] {
        SourceTree.files(in: ["docs"], endings: ["md"])
            + ["README.md", "CONTRIBUTING.md"].compactMap { SourceTree.file($0) }
    }

    @Test("every Swift snippet of the documentation stands, line for line, in a compiled example")
    func snippetsAreCompiled() {
        let examples = SourceTree.files(in: ["docs/examples"], endings: ["swift"]).map { Self.trimmed($0.lines) }
        #expect(!examples.isEmpty)
        var snippets = 0
        for page in Self.pages {
            for snippet in Self.snippets(of: page) {
                snippets += 1
                let lines = Self.trimmed(snippet)
                #expect(
                    examples.contains { Self.contains($0, lines) },
                    "\(page.path): no example has\n\(lines.joined(separator: "\n"))")
            }
        }
        #expect(snippets > 3, "the pages lost their snippets")
    }

    @Test("links between the pages lead to files of the project")
    func links() {
        for page in Self.pages {
            let folder = SourceTree.root.appendingPathComponent(page.path).deletingLastPathComponent()
            for (number, line) in page.lines.enumerated() {
                for target in line.matches(of: /\]\(([^)#\s]+)(#[^)]*)?\)/).map({ String($0.output.1) })
                where !target.contains("://") {
                    let file = folder.appendingPathComponent(target).path
                    #expect(
                        FileManager.default.fileExists(atPath: file), "\(page.path):\(number + 1) links to \(target)")
                }
            }
        }
    }

    /// Lines without indentation and blank lines: a page may quote from inside a function.
    private static func trimmed(_ lines: [String]) -> [String] {
        lines.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    private static func contains(_ lines: [String], _ part: [String]) -> Bool {
        guard let first = part.first, part.count <= lines.count else { return false }
        return lines.indices.contains { start in
            lines[start] == first && lines[start...].starts(with: part)
        }
    }

    /// What stands between ```swift and ```.
    private static func snippets(of page: SourceTree.File) -> [[String]] {
        var snippets: [[String]] = []
        var current: [String]?
        for line in page.lines {
            if line.trimmingCharacters(in: .whitespaces) == "```swift" {
                current = []
            } else if line.trimmingCharacters(in: .whitespaces) == "```", let snippet = current {
                snippets.append(snippet)
                current = nil
            } else {
                current?.append(line)
            }
        }
        return snippets
    }
}
