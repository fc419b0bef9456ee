import Testing

@Suite struct LengthTests {
    @Test("no line is longer than 120 columns")
    func lineLength() {
        for file in SourceTree.files(in: ["Sources", "Plugins", "Tests"], endings: ["swift"]) {
            let long = file.lines.indices.filter { file.lines[$0].count > 120 }.map { $0 + 1 }
            #expect(long.isEmpty, "\(file.path) is too wide in lines \(long)")
        }
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
