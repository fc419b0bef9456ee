internal import Core
internal import Frontend

/// Commands that MongoDB has, clients send, and this server will not have: refused by name, with the reason.
enum AbsentCommands {
    private static let reasons: [(name: StaticString, aliases: [StaticString], reason: String)] = [
        ("mapReduce", ["mapreduce"], "there is no JavaScript; use an aggregation pipeline"),
        ("eval", ["$eval"], "there is no JavaScript, and MongoDB has removed it in 4.2"),
    ]

    static func add(to table: inout CommandSet) {
        for (name, aliases, reason) in reasons {
            table.add(
                Command(name, .empty, help: "refused: \(reason)") { _ in
                    throw ServerError(.commandNotSupported, "\(name) is not supported: \(reason)")
                }, aliases: aliases)
        }
    }
}
