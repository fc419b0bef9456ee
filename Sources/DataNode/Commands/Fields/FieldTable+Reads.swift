internal import BSON
internal import Core
internal import Data

extension Field {
    /// The index to use.
    static let hint = Field(
        "hint", [.string, .object], "the index to use, by name or key pattern", wrongTypeCode: .failedToParse)
}

/// The fields of the commands that read documents.
extension FieldTable {
    static let find = FieldTable([
        Field("filter", .object, "which documents"),
        Field("sort", .object, "in which order"),
        Field("projection", .object, "which fields of them"),
        .hint,
        Field("skip", .number, [.nonNegative], "how many to leave out first"),
        Field("limit", .number, [.nonNegative], "how many at most; 0 for all"),
        Field("batchSize", .number, [.nonNegative], "documents in the first batch"),
        Field("singleBatch", .flag, "closes the cursor after the first batch"),
        Field("let", .object, "variables for expressions"),
        CollectionOptions.collationField,
        Field("tailable", .flag, [.unstable], "keeps the cursor of a capped collection open at its end"),
        Field("awaitData", .flag, [.unstable], "waits for new documents at the end of a tailable cursor"),
        Field("noCursorTimeout", .flag, [.unstable], "keeps an idle cursor open"),
        Field("min", .object, [.unstable], "the least index key, included; needs a hint"),
        Field("max", .object, [.unstable], "the greatest index key, excluded; needs a hint"),
        Field("returnKey", .flag, [.unstable], "index keys instead of documents"),
        Field("showRecordId", .flag, [.unstable], "adds $recordId to each document"),
        Field("allowDiskUse", .flag, "whether a sort may go on in temporary tables; it may by default"),
        .inert("allowPartialResults", .flag, because: "only routers can have partial results"),
        Field("sortKeys", .bool, [.unstable], "adds the documents' sort keys, for routers of a sharded cluster"),
        .inert("oplogReplay", .flag, [.unstable], because: "scans of the oplog begin at the right place by themselves"),
    ])

    static let aggregate = FieldTable([
        Field("pipeline", .array, [.required], "the stages"),
        Field("cursor", .object, "`{batchSize}`; required unless `explain` is set", inner: .cursorOptions),
        Field("explain", .bool, [.unstable], "describes the plan instead of running it"),
        .hint,
        Field("let", .object, "variables for expressions"),
        Field("bypassDocumentValidation", .flag, "writes of $out and $merge skip the validator"),
        CollectionOptions.collationField,
        Field("allowDiskUse", .bool, "whether stages may go on in temporary tables; they may by default"),
        .missing("fromMongos", "sharding", unlessFalsy: true),
        Field("needsMerge", .bool, [.unstable], "gives partial results of $group, for routers of a sharded cluster"),
        .missing("exchange", "sharding"),
    ])

    static let cursorOptions = FieldTable([
        Field("batchSize", .number, [.nonNegative], "documents in the first batch")
    ])

    static let getMore = FieldTable([
        Field("collection", .string, [.required], "the collection of the cursor"),
        Field("batchSize", .number, [.nonNegative], "documents in this batch"),
        .inert("term", .number, because: "MongoDB's members send it to each other"),
        .inert("lastKnownCommittedOpTime", .object, because: "MongoDB's members send it to each other"),
    ])

    static let killCursors = FieldTable([Field("cursors", .array, [.required], "the cursors' ids")])

    static let count = FieldTable([
        Field("query", .object, "which documents"),
        Field("skip", .number, [.nonNegative], "how many to leave out first"),
        Field("limit", .number, "how many at most; 0 for all, negative as positive", wrongTypeCode: .badValue),
        .hint,
        CollectionOptions.collationField,
        .inert("fields", .any, because: "older shells send it; a count has no fields"),
    ])

    static let distinct = FieldTable([
        Field("key", .string, [.required], "the path whose values are wanted") {
            (value: ValueView) throws(ServerError) in
            guard value.asStringBytes?.contains(0) != true else {
                throw ServerError(ErrorCode(rawValue: 31032), "Key field cannot contain an embedded null byte")
            }
        },
        Field("query", .object, "of which documents"),
        .hint,
        CollectionOptions.collationField,
    ])

    static let explain = FieldTable([
        Field("verbosity", .string, "queryPlanner, executionStats or allPlansExecution")
    ])
}
