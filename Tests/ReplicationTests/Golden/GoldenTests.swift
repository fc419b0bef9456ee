import Testing

/// Decisions of the protocols, event by event: `testdata/*.txt`.
@Suite struct GoldenTests {
    @Test("fetching the oplog", arguments: ["fetch", "fetch-trouble", "fetch-delay"])
    func fetch(_ name: String) throws {
        var script = FetchScript()
        try GoldenFile.check(name) { try script.run($0) }
    }

    @Test(
        "an initial sync",
        arguments: ["initial-sync", "initial-sync-trouble", "initial-sync-fetch", "initial-sync-outage"])
    func initialSync(_ name: String) throws {
        var script = InitialSyncScript()
        try GoldenFile.check(name) { try script.run($0) }
    }

    @Test("what a rollback undoes")
    func rollback() throws {
        var script = RollbackScript()
        try GoldenFile.check("rollback") { try script.run($0) }
    }

    @Test(
        "what a member decides",
        arguments: ["member-election", "member-vote", "member-step-down", "member-sync-source", "member-commit"])
    func member(_ name: String) throws {
        var script = MemberScript()
        try GoldenFile.check(name) { try script.run($0) }
    }
}
