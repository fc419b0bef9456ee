internal import BSON
internal import Core

/// The fields of the commands on replica sets.
extension FieldTable {
    /// What members send each other is read as a whole by the message's type.
    static let memberMessage = FieldTable([], isOpen: true)

    static let replSetGetStatus = FieldTable([
        Field("initialSync", .flag, "keeps showing the initial sync after its end")
    ])
    static let replSetGetConfig = FieldTable([
        Field("commitmentStatus", .bool, "tells whether a majority has the configuration")
    ])
    static let replSetReconfig = FieldTable([
        Field("force", .flag, "without asking a majority")
    ])
    static let replSetStepDown = FieldTable([
        Field("force", .flag, "though no secondary has caught up"),
        Field("secondaryCatchUpPeriodSecs", .number, "how long to wait for a secondary"),
    ])
    static let replSetStepUp = FieldTable([
        Field("skipDryRun", .flag, "starts a term at once")
    ])
    static let replSetResizeOplog = FieldTable([
        Field("size", .number, "megabytes"),
        Field("minRetentionHours", .number, "entries are kept as long, whatever the size; 0: the size alone counts"),
    ])
    static let appendOplogNote = FieldTable([
        Field("data", .object, [.required], "the note"),
        Field("maxClusterTime", .timestamp, "writes nothing when the last entry is as new"),
    ])
}
