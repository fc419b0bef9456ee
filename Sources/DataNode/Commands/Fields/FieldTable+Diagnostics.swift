internal import BSON
internal import Core

/// The fields of the commands that tell of the node, and of sessions.
extension FieldTable {
    static let serverStatus = FieldTable([], isOpen: true)
    static let scale = FieldTable([
        Field("scale", .number, "the unit of sizes, in bytes"),
        Field(
            "freeStorage", .number, "whether to tell of free storage",
            effect: .none("the engine has none to tell of")),
    ])
    static let collStats = FieldTable([Field("scale", .number, "the unit of sizes, in bytes")])
    static let validate = FieldTable([
        Field("full", .flag, "looks at everything, as it always does"),
        .inert("scandata", .flag, because: "PyMongo sends it; MongoDB has not known it for years"),
        Field("background", .flag, "while others work, as it always does"),
        .missing("repair", "repairs", unlessFalsy: true),
        .missing("metadata", "a look at the catalog alone", unlessFalsy: true),
        .missing("checkBSONConformance", "checks of BSON beyond its structure", unlessFalsy: true),
        .missing("fixMultikey", "repairs", unlessFalsy: true),
        .missing("enforceFastCount", "a comparison with the count", unlessFalsy: true),
        .missing("collHash", "hashes of documents", unlessFalsy: true),
        .missing("hashPrefixes", "hashes of documents", unlessFalsy: true),
        .missing("unhash", "hashes of documents", unlessFalsy: true),
    ])
    static let dbHash = FieldTable([Field("collections", .array, "which collections; all when left out")])
    static let currentOp = FieldTable([], isOpen: true)
    static let setFeatureCompatibilityVersion = FieldTable([
        Field("confirm", .bool, "true, to show that it is meant"),
        .missing("fromConfigServer", "sharding", unlessFalsy: true),
    ])
    static let killOp = FieldTable([Field("op", .any, "the operation's id, as currentOp shows it")])
    static let shutdown = FieldTable([
        Field("force", .flag, "though no secondary has caught up"),
        Field("timeoutSecs", .number, [.nonNegative], "how long to wait for a secondary"),
    ])
    /// Parameters are its fields.
    static let parameters = FieldTable([], isOpen: true)
    static let fsync = FieldTable([
        Field("lock", .flag, "nothing is written until `fsyncUnlock` was called as often"),
        Field("async", .flag, "older clients send it", effect: .none("MongoDB has taken it without effect for years")),
        Field(
            "fsyncLockAcquisitionTimeoutMillis", .number, [.nonNegative],
            "how long to wait for the lock; 90 seconds when left out"),
    ])
    static let profile = FieldTable([
        Field("slowms", .number, "from how many milliseconds on an operation is slow"),
        Field("sampleRate", .number, "the share of slow operations that is kept"),
        .missing("filter", "filters of the profiler"),
    ])

    static let getDefaultRWConcern = FieldTable([
        Field("inMemory", .flag, "as this member has it in memory")
    ])
    static let setDefaultRWConcern = FieldTable([
        Field("defaultReadConcern", .object, "`{level}`"),
        Field("defaultWriteConcern", .object, "`{w, j, wtimeout}`"),
    ])
}
