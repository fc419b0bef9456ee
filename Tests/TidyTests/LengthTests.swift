import Testing

@Suite struct LengthTests {
    @Test("no line is longer than 120 columns")
    func lineLength() {
        for file in SourceTree.files(in: ["Sources", "Plugins", "Tests"], endings: ["swift"]) {
            for (number, line) in file.lines.enumerated() where line.count > 120 {
                Issue.record("\(file.path):\(number + 1) has \(line.count) columns")
            }
        }
    }

    @Test("no file is longer than 500 lines")
    func fileLength() {
        for file in SourceTree.files(in: ["Sources", "Plugins", "Tests", "CSupport"], endings: ["swift", "c", "h", "py"]) {
            #expect(file.lines.count <= 501, "\(file.path) has \(file.lines.count) lines")
        }
    }
}
