internal import Core

/// Commands that MongoDB has, clients send, and this server will not have: refused by name, with the reason.
enum AbsentCommands {
    private static let reasons: [(name: StaticString, aliases: [StaticString], reason: String)] = [
        ("mapReduce", ["mapreduce"], "there is no JavaScript; use an aggregation pipeline"),
        ("eval", ["$eval"], "there is no JavaScript, and MongoDB has removed it in 4.2"),
    ]

    static var all: [Command<RequestContext>] {
        reasons.map { name, aliases, reason in
            Command(name, [], .empty, help: "refused: \(reason)", aliases: aliases) { _ in
                throw ServerError(.commandNotSupported, "\(name) is not supported: \(reason)")
            }
        }
    }
}
