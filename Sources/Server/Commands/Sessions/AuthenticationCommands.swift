internal import BSON
internal import Core

/// What clients with a name and a password send: there are no users, so nobody can log in.
enum AuthenticationCommands {
    static func add(to table: inout CommandTable) {
        for name in ["saslStart", "saslContinue", "authenticate"] as [StaticString] {
            table.add(
                Command(name, [.legacyQuery], help: "refused: there are no users") { _ in
                    throw ServerError(
                        .authenticationFailed, "Authentication failed: there are no users here; connect without a name")
                })
        }
        table.add(Command("logout", [.legacyQuery], help: "nobody is logged in") { _ in .done })
        table.add(
            Command("usersInfo", help: "the users: there are none") { context in
                try context.checkFields {
                    switch $0 {
                    case "showCredentials", "showCustomData", "showPrivileges", "showAuthenticationRestrictions",
                        "filter":
                        true
                    default: false
                    }
                }
                context.writer.array("users") { _ in }
                return .done
            })
        table.add(
            Command("rolesInfo", help: "the roles: there are none") { context in
                try context.checkFields {
                    switch $0 {
                    case "showAuthenticationRestrictions", "showBuiltinRoles", "showPrivileges": true
                    default: false
                    }
                }
                context.writer.array("roles") { _ in }
                return .done
            })
    }
}
