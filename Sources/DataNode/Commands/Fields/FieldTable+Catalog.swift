internal import BSON
internal import Core
internal import Data

/// The fields of the commands on databases, collections and indexes.
extension FieldTable {
    /// Options of engines that are all empty, as tools that copy collections send them.
    private static let isPlain: @Sendable (ValueView) -> Bool = {
        $0.asDocument?.allSatisfy { $0.value.asDocument?.isEmpty == true } ?? false
    }

    static let create = FieldTable([
        Field("capped", .flag, [.unstable], "keeps the newest documents only"),
        Field("size", .number, [.unstable], "bytes that a capped collection may take"),
        Field("max", .number, [.unstable], "documents that a capped collection may have"),
        Field("validator", .object, "what every document must match"),
        Field("validationLevel", .string, "off, strict or moderate"),
        Field("validationAction", .string, "error or warn"),
        Field("idIndex", .object, "the index on _id: key {_id: 1}"),
        CollectionOptions.collationField,
        Field("viewOn", .string, "the collection or view that a view reads"),
        Field("pipeline", .array, "the stages by which a view reads it"),
        .missing("timeseries", "time series", types: .object),
        Field("expireAfterSeconds", [.number, .string], "the age at which documents of a clustered collection go"),
        Field("clusteredIndex", .any, "`{key: {_id: 1}, unique: true}`: documents come in the order of their `_id`s"),
        .images,
        .missing("encryptedFields", "queryable encryption", types: .object),
        .missing("storageEngine", "options of MongoDB's storage engines", [.unstable], types: .object, unless: isPlain),
        .missing(
            "indexOptionDefaults", "options of MongoDB's storage engines", [.unstable], types: .object,
            unless: isPlain),
        .missing("temp", "temporary collections", unlessFalsy: true),
        .missing("autoIndexId", "collections without an index on _id", [.unstable]) {
            $0.asDocument == nil && $0.isTruthy
        },
        .inert("flags", .number, because: "older versions of mongorestore send it"),
    ])

    static let renameCollection = FieldTable([
        Field("to", .string, [.required], "the new name, with its database"),
        Field("dropTarget", .flag, "drops a collection of that name first"),
        Field(
            "stayTemp", .bool, "keeps a temporary collection temporary; there are none",
            effect: .none("no collection is temporary")),
        .missing("collectionUUID", "checks of a collection's identity", types: .binary),
    ])

    static let collMod = FieldTable([
        Field("index", .object, "`{name or keyPattern, expireAfterSeconds, hidden, unique, prepareUnique}`"),
        Field("validator", .object, "what every document must match"),
        Field("validationLevel", .string, "off, strict or moderate"),
        Field("validationAction", .string, "error or warn"),
        Field("cappedSize", .number, "bytes that a capped collection may take"),
        Field("cappedMax", .number, "documents that a capped collection may have"),
        Field("dryRun", .flag, "only looks whether an index could become unique"),
        Field("viewOn", .string, "the collection or view that a view reads"),
        Field("pipeline", .array, "the stages by which a view reads it"),
        .missing("timeseries", "time series", types: .object),
        Field("expireAfterSeconds", [.number, .string], "of a clustered collection; off for none"),
        .images,
        .missing("recordPreImages", "images for change streams", unlessFalsy: true),
        .missing("timeseriesBucketsMayHaveMixedSchemaData", "time series", unlessFalsy: true),
    ])

    static let createIndexes = FieldTable([
        Field("indexes", .array, [.required], "`{key, name}` and the options of each index"),
        Field("commitQuorum", [.string, .number], [.unstable], "which members must be ready before a build ends"),
        Field("ignoreUnknownIndexOptions", .flag, [.unstable], "drops options that are not known"),
    ])

    static let setIndexCommitQuorum = FieldTable([
        Field("indexNames", .array, [.required], "the indexes of the build"),
        Field("commitQuorum", [.string, .number], [.required], "which members must be ready before the build ends"),
    ])

    static let convertToCapped = FieldTable([
        Field("size", .number, [.required], "bytes that it may take", wrongTypeCode: .invalidOptions)
    ])
    static let cloneCollectionAsCapped = FieldTable([
        Field("toCollection", .string, [.required], "the name of the copy"),
        Field("size", .number, [.required], "bytes that it may take", wrongTypeCode: .invalidOptions),
    ])
    static let compact = FieldTable([
        Field("dryRun", .bool, "only estimates"),
        .inert("force", .bool, because: "nothing is held up by it, on a primary neither"),
        Field("freeSpaceTargetMB", .number, "does nothing below so much free space; there never is any"),
    ])
    static let dataSize = FieldTable([
        Field("keyPattern", .object, "the index that min and max are of"),
        Field("min", .object, "where the range begins"),
        Field("max", .object, "where it ends"),
        Field("estimate", .flag, "shown in the answer, which is exact either way"),
    ])
    static let planCacheClear = FieldTable([
        Field("query", .object, "of queries of this shape only"),
        Field("sort", .object, "the shape's sort"),
        Field("projection", .object, "the shape's projection"),
        CollectionOptions.collationField,
    ])
    static let validateDBMetadata = FieldTable([
        Field(
            "apiParameters", .object, [.required], "`{version, strict, deprecationErrors}`",
            inner: FieldTable([
                Field("version", .string, [.required], "the version of the Stable API: \"1\""),
                Field("strict", .bool, "whether what is not in it is an error"),
                Field("deprecationErrors", .bool, "whether what is deprecated in it is an error"),
            ])),
        Field("db", .string, "one database; all when left out"),
        Field("collection", .string, "one collection; all when left out"),
    ])
    static let applyOps = FieldTable([
        .missing("alwaysUpsert", "updates that insert what is not there", unlessFalsy: true),
        Field(
            "bypassDocumentValidation", .flag, "skips validators",
            effect: .none("operations in the form of entries are never validated")),
        .missing("allowAtomic", "operations that are applied together", unlessFalsy: true),
        .missing("preCondition", "conditions on the state before"),
        .missing("oplogApplicationMode", "modes of application"),
    ])

    static let dropIndexes = FieldTable([
        Field(
            "index", [.string, .object, .array], [.required], "by name, by names, by key pattern, or * for all but _id")
    ])

    static let listDatabases = FieldTable([
        Field("filter", .object, "which of them"),
        Field("nameOnly", .flag, "names without sizes"),
        .missing("authorizedDatabases", "users and rights", unlessFalsy: true),
    ])

    static let listCollections = FieldTable([
        Field("filter", .object, "which of them"),
        Field("nameOnly", .bool, "names and types only"),
        Field("cursor", .object, "`{batchSize}`", inner: .cursorOptions),
        Field(
            "authorizedCollections", .flag, "those that the user may read: all, as there are no users",
            effect: .none("without users everybody may read everything")),
    ])

    static let listIndexes = FieldTable([
        Field("cursor", .object, "`{batchSize}`", inner: .cursorOptions),
        Field("includeBuildUUIDs", .flag, [.unstable], "shows indexes that are being built, with their builds' ids"),
        Field("includeIndexBuildInfo", .flag, [.unstable], "wraps each index in `{spec, indexBuildInfo}`"),
    ])
}

extension Field {
    fileprivate static let images = Field(
        "changeStreamPreAndPostImages", .object,
        "not supported yet, unless it asks for nothing: images for change streams",
        inner: FieldTable([
            Field("enabled", .bool, [.required], "whether they are kept") { (value: ValueView) throws(ServerError) in
                guard value.isTruthy else { return }
                throw ServerError(
                    .commandNotSupported,
                    "changeStreamPreAndPostImages are not supported yet: images for change streams"
                )
            }
        ]))
}
