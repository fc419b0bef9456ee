internal import BSON
internal import Core
internal import Frontend

/// What clients with a name and a password send: there are no users, so nobody can log in.
enum AuthenticationCommands {
    static func add(to table: inout CommandSet) {
        for name in ["saslStart", "saslContinue", "authenticate"] as [StaticString] {
            table.add(
                Command(name, [.legacyQuery], .authentication, help: "refused: there are no users") { _ in
                    throw ServerError(
                        .authenticationFailed, "Authentication failed: there are no users here; connect without a name")
                })
        }
        table.add(Command("logout", [.legacyQuery], .empty, help: "nobody is logged in") { _ in .done })
        table.add(
            Command("usersInfo", .usersInfo, help: "the users: there are none") { context in
                context.writer.array("users") { _ in }
                return .done
            })
        table.add(
            Command("rolesInfo", .rolesInfo, help: "the roles: there are none") { context in
                context.writer.array("roles") { _ in }
                return .done
            })
    }
}
