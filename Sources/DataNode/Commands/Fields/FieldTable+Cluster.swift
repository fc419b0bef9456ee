internal import BSON
internal import Core

/// The fields of the commands of sharded clusters.
extension FieldTable {
    /// What nodes of a cluster send each other is read as a whole by who carries it out.
    static let clusterMessage = FieldTable([], isOpen: true)

    static let addShard = FieldTable([
        Field("name", .string, "the shard's name; without it, that of its replica set"),
        .inert("maxSize", .number, because: "MongoDB has removed it"),
    ])
    static let enableSharding = FieldTable([
        Field("primaryShard", .string, "where the database is to be")
    ])
    static let shardCollection = FieldTable([
        Field("key", .object, [.required], "the shard key"),
        Field("unique", .bool, "whether the key is unique"),
        Field("numInitialChunks", .number, "how many chunks an empty collection gets, over all shards"),
        Field("presplitHashedZones", .bool, "zones are cut first in any case"),
        Field("collation", .object, "only the simple one"),
        Field("strategy", .string, "the shard key strategy, by its name"),
        Field("strategyOptions", .object, "the strategy's options"),
        .missing("timeseries", "time series collections"),
        .inert("implicitlyCreateIndex", .bool, because: "the index of an empty collection is always made"),
        .inert("enforceUniquenessCheck", .bool, because: "uniqueness is always checked"),
    ])
    static let split = FieldTable([
        Field("find", .object, "the chunk with this document is split at its median"),
        Field("bounds", .array, "the chunk with these bounds is split at its median"),
        Field("middle", .object, "where to split"),
    ])
    static let mergeChunks = FieldTable([
        Field("bounds", .array, [.required], "where the range of whole chunks begins and ends")
    ])
    static let moveChunk = FieldTable([
        Field("find", .object, "a document in the chunk"),
        Field("bounds", .array, "the chunk's bounds"),
        Field("to", .string, [.required], "the shard that is to have it"),
        Field("forceJumbo", .bool, "though it is jumbo"),
        .inert("_secondaryThrottle", .any, because: "copies always wait for a majority that is behind"),
        .inert("writeConcern", .object, because: "copies are always a majority's before the move ends"),
        .missing("_waitForDelete", "waiting for the deletion of what was moved", unlessFalsy: true),
    ])
    static let moveRange = FieldTable([
        Field("min", .object, "where the range begins"),
        Field("max", .object, "the first key behind it"),
        Field("toShard", .string, [.required], "the shard that is to have it"),
        Field("forceJumbo", .bool, "though its chunk is jumbo"),
        .inert("secondaryThrottle", .any, because: "copies always wait for a majority that is behind"),
        .missing("waitForDelete", "waiting for the deletion of what was moved", unlessFalsy: true),
    ])
    static let clearJumboFlag = FieldTable([
        Field("find", .object, "a document in the chunk"),
        Field("bounds", .array, "the chunk's bounds"),
    ])
    static let zone = FieldTable([
        Field("zone", .string, [.required], "the zone")
    ])
    static let updateZoneKeyRange = FieldTable([
        Field("min", .object, [.required], "where the range begins"),
        Field("max", .object, [.required], "the first key behind it"),
        Field("zone", .any, "the zone; null takes the range out of its"),
    ])
    static let configureCollectionBalancing = FieldTable([
        Field("chunkSize", .number, "megabytes; 0 for the cluster's"),
        Field("enableBalancing", .bool, "whether the balancer moves its ranges"),
        .missing("defragmentCollection", "defragmentation"),
        .missing("enableAutoMerger", "automatic merges"),
    ])
    static let setAllowMigrations = FieldTable([
        Field("allowMigrations", .bool, [.required], "whether ranges may move")
    ])
    static let balancer = FieldTable([
        Field("maxTimeMS", .number, "how long it may take")
    ])
}
