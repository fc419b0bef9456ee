import Testing

/// Decisions of the protocols, event by event: `testdata/*.txt`.
@Suite struct GoldenTests {
    @Test("fetching the oplog", arguments: ["fetch", "fetch-trouble", "fetch-delay"])
    func fetch(_ name: String) throws {
        var script = FetchScript()
        try GoldenFile.check(name) { try script.run($0) }
    }
}
