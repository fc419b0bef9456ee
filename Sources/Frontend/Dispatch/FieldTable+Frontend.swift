internal import BSON
internal import Core

/// The fields of the commands that every service has.
extension FieldTable {
    /// `hello` takes what it does not know, as MongoDB's does: clients announce what later servers understand.
    static let hello = FieldTable(
        [
            Field("helloOk", .any, "whether the client knows hello by its new name"),
            Field("client", .object, "what the client says of itself"),
            Field("compression", .array, "the compressors that the client has"),
            Field("topologyVersion", .object, "what the client knows; waits until it is outdated"),
            Field("maxAwaitTimeMS", .number, "how long to wait for that"),
            Field("internalMember", .any, "a member of the set introduces itself"),
            Field("internalCluster", .any, "a node of the sharded cluster introduces itself"),
            .inert("loadBalanced", .any, because: "answered as without a load balancer"),
            .inert("saslSupportedMechs", .any, because: "there are no users to have mechanisms"),
        ], isOpen: true)

    static let failPoint = FieldTable([
        Field(
            "mode", [.string, .object], [.required],
            "off, alwaysOn, {times: n}, {skip: n} or {activationProbability: p}"),
        Field("data", .object, "what the fail point does"),
    ])

    static let connectionStatus = FieldTable([
        Field("showPrivileges", .flag, "shows what the users may do: nothing, as there are none")
    ])
    /// Whatever a mechanism sends; there are no users to log in.
    static let authentication = FieldTable([], isOpen: true)
    static let usersInfo = FieldTable([
        .inert("showCredentials", .flag, because: "there are no users to show"),
        .inert("showCustomData", .flag, because: "there are no users to show"),
        .inert("showPrivileges", .flag, because: "there are no users to show"),
        .inert("showAuthenticationRestrictions", .flag, because: "there are no users to show"),
        .inert("filter", .object, because: "there are no users to show"),
    ])
    static let rolesInfo = FieldTable([
        .inert("showAuthenticationRestrictions", .flag, because: "there are no roles to show"),
        .inert("showBuiltinRoles", .flag, because: "there are no roles to show"),
        .inert("showPrivileges", [.flag, .string], because: "there are no roles to show"),
    ])
    static let features = FieldTable([.missing("oidReset", "resetting of object ids", unlessFalsy: true)])
}
