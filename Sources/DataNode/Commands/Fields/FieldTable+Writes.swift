internal import BSON
internal import Core
internal import Data

/// The fields of the commands that write documents.
extension FieldTable {
    private static let ordered = Field("ordered", .bool, "stops at the first error; true unless said otherwise")
    private static let bypassValidation = Field("bypassDocumentValidation", .flag, "skips the collection's validator")
    private static let bypassTimestamps = Field(
        "bypassEmptyTsReplacement", .flag, "keeps Timestamp(0, 0) as it is, as restores want it")
    private static let variables = Field("let", .object, "variables for expressions")

    static let insert = FieldTable([
        Field("documents", .array, [.required, .sequence], "what to insert"),
        ordered, bypassValidation, bypassTimestamps,
    ])

    static let update = FieldTable([
        Field("updates", .array, [.required, .sequence], "the statements"),
        ordered, bypassValidation, bypassTimestamps, variables,
    ])

    static let delete = FieldTable([
        Field("deletes", .array, [.required, .sequence], "the statements"),
        ordered, variables,
    ])

    static let findAndModify = FieldTable([
        Field("query", .object, "which document"),
        Field("sort", .object, "which of several"),
        Field("remove", .flag, "removes it"),
        Field(
            "update", [.object, .array], "changes it: modifiers, a replacement or a pipeline",
            wrongTypeCode: .failedToParse),
        Field("new", .flag, "answers with the document as it is afterwards"),
        Field("upsert", .flag, "inserts when nothing matches"),
        Field("fields", .object, "which fields to answer with"),
        Field("arrayFilters", .array, "which elements `$[name]` means"),
        .hint,
        CollectionOptions.collationField,
        bypassValidation, bypassTimestamps, variables,
    ])

    /// Operations of `bulkWrite`; the first field is the number of their collection.
    static let bulkInsert = FieldTable([
        Field("insert", .number, [.required], "the collection"),
        Field("document", .object, [.required], "what to insert"),
    ])
    static let bulkUpdate = FieldTable([
        Field("update", .number, [.required], "the collection"),
        Field("filter", .object, [.required], "which documents"),
        Field(
            "updateMods", [.object, .array], [.required], "modifiers, a replacement or a pipeline",
            wrongTypeCode: .failedToParse),
        Field("multi", .bool, "all that match, not one"),
        Field("upsert", .bool, "inserts when nothing matches"),
        Field("arrayFilters", .array, "which elements `$[name]` means"),
        .hint,
        Field("sort", .object, "which of several"),
        Field("constants", .object, "variables for a pipeline"),
        CollectionOptions.collationField,
    ])
    static let bulkDelete = FieldTable([
        Field("delete", .number, [.required], "the collection"),
        Field("filter", .object, [.required], "which documents"),
        Field("multi", .bool, "all that match, not one"),
        .hint,
        CollectionOptions.collationField,
    ])
    static let bulkNamespace = FieldTable([
        Field("ns", .string, [.required], "database and collection"),
        .missing("collectionUUID", "checks of a collection's identity"),
        .missing("encryptionInformation", "queryable encryption"),
        .missing("isTimeseriesNamespace", "time series", unlessFalsy: true),
    ])

    static let bulkWrite = FieldTable([
        Field("ops", .array, [.required, .sequence], "the operations"),
        Field("nsInfo", .array, [.required, .sequence], "`{ns}` of each collection that they name by number"),
        Field("errorsOnly", .bool, "reports failures only"),
        Field("cursor", .object, "`{batchSize}` of the results", inner: .cursorOptions),
        ordered, bypassValidation, bypassTimestamps, variables,
    ])
}
