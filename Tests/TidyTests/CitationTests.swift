import Foundation
import Testing

/// What a comment cites, its reader can open: a page of this repository by its path, or something published by name.
@Suite struct CitationTests {
    /// Published works whose sections are cited by number.
    private static let published = ["Raft", "Ongaro", "RFC ", "IEEE ", "ISO "]
    private static let folders = ["Sources", "Plugins", "Tests", "CSupport", "docs/examples", "scripts"]
    private static let endings = ["swift", "c", "h", "py"]

    @Test("every page that the sources cite is in the repository, by its path from the root")
    func pages() {
        var cited = 0
        for file in SourceTree.files(in: Self.folders, endings: Self.endings) where file.module != "TidyTests" {
            for (number, line) in file.lines.enumerated() {
                for page in Self.pages(in: line) {
                    cited += 1
                    let path = SourceTree.root.appendingPathComponent(page).path
                    #expect(FileManager.default.fileExists(atPath: path), "\(file.path):\(number + 1) cites \(page)")
                }
            }
        }
        #expect(cited > 10, "the test does not see the citations")
    }

    @Test("a section is cited of a published work that is named")
    func sections() {
        for file in SourceTree.files(in: Self.folders, endings: Self.endings) where file.module != "TidyTests" {
            for (number, line) in file.lines.enumerated() where Self.citesNamelessSection(line) {
                // The name may stand at the end of the line before.
                let both = (number > 0 ? file.lines[number - 1] : "") + " " + line
                #expect(!Self.citesNamelessSection(both), "\(file.path):\(number + 1) cites a section of what?")
            }
        }
    }

    /// The names of Markdown pages in a line.
    static func pages(in line: String) -> [String] {
        line.matches(of: /[A-Za-z0-9_\/.-]*[A-Za-z0-9_-]\.md\b/).map { String($0.output) }
    }

    /// Whether a line names a section by number, of nothing that is published.
    static func citesNamelessSection(_ line: String) -> Bool {
        guard let section = line.firstMatch(of: /§|\b[Ss]ection \d/) else { return false }
        let before = line[..<section.range.lowerBound]
        return !published.contains { before.contains($0) }
    }

    @Test("citations are recognised")
    func recognises() {
        #expect(Self.pages(in: "/// As docs/simulation.md says (clients.md).") == ["docs/simulation.md", "clients.md"])
        #expect(Self.pages(in: "let a = b.median").isEmpty)
        #expect(Self.citesNamelessSection("/// The rule (DESIGN §4)."))
        #expect(Self.citesNamelessSection("/// The rule (the clients' page, section 4)."))
        #expect(!Self.citesNamelessSection("/// The rule (Raft §5.4.2)."))
        #expect(!Self.citesNamelessSection("/// A section of the summary."))
    }
}
