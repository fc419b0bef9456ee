import Testing

@Suite struct LengthTests {
    @Test("no line is longer than 120 columns")
    func lineLength() {
        for file in SourceTree.files(in: ["Sources", "Plugins", "Tests"], endings: ["swift", "py"]) {
            let long = file.lines.indices.filter { file.lines[$0].count > 120 }.map { $0 + 1 }
            #expect(long.isEmpty, "\(file.path) is too wide in lines \(long)")
        }
    }

    @Test("no comment has a run of spaces between two words, as a careless reflow leaves it")
    func spacesInComments() {
        for file in SourceTree.swiftFiles(in: "Sources", "Plugins", "Tests", "docs/examples") {
            let broken = file.lines.indices.filter { Self.hasRunOfSpaces(file.lines[$0]) }.map { $0 + 1 }
            #expect(broken.isEmpty, "\(file.path) has runs of spaces in the comments of lines \(broken)")
        }
        #expect(Self.hasRunOfSpaces("    /// is not   empty"))
        #expect(!Self.hasRunOfSpaces("    ///   the second line of an item"))
        #expect(!Self.hasRunOfSpaces("    ///     let it   = aligned"))
        #expect(!Self.hasRunOfSpaces("    let a   = b"))
    }

    /// Code and tables, which are set four or more columns from the slashes, may be aligned.
    private static func hasRunOfSpaces(_ line: String) -> Bool {
        let text = line.drop { $0 == " " }
        guard text.hasPrefix("//") else { return false }
        let comment = text.drop { $0 == "/" }
        let words = comment.drop { $0 == " " }
        return comment.count - words.count < 4 && words.contains("  ")
    }

    @Test("no file is longer than 500 lines")
    func fileLength() {
        for file in SourceTree.files(
            in: ["Sources", "Plugins", "Tests", "CSupport"], endings: ["swift", "c", "h"])
        {
            #expect(file.lines.count <= 501, "\(file.path) has \(file.lines.count) lines")
        }
    }
}
