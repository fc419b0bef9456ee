internal import Core
internal import Frontend

/// `reapLogicalSessionCacheNow`: does at once what `SessionReaper` does from time to time.
enum ReapSessionsCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "reapLogicalSessionCacheNow", .empty, help: "forgets what idle sessions have written"
            ) { context in
                .later { try await context.node.sessionReaper.pass() }
            })
    }
}
