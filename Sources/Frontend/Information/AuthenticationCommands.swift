internal import BSON
internal import Core

/// What clients with a name and a password send: there are no users, so nobody can log in.
enum AuthenticationCommands {
    static var all: [Command<RequestContext>] {
        (["saslStart", "saslContinue", "authenticate"] as [StaticString]).map { name in
            Command(name, [.legacyQuery], .authentication, help: "refused: there are no users") { _ in
                throw ServerError(
                    .authenticationFailed, "Authentication failed: there are no users here; connect without a name")
            }
        } + [
            Command("logout", [.legacyQuery], .empty, help: "nobody is logged in") { _ in .done },
            Command("usersInfo", .usersInfo, help: "the users: there are none") { context in
                context.writer.array("users") { _ in }
                return .done
            },
            Command("rolesInfo", .rolesInfo, help: "the roles: there are none") { context in
                context.writer.array("roles") { _ in }
                return .done
            },
        ]
    }
}
