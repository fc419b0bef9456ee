package import BSON
package import Core
internal import Wire

/// The fields that any command may carry, found in one walk over the command document. Views into the request.
package struct GenericArguments {
    /// The command's own argument: the value of its first field.
    package private(set) var argument = ValueView(
        type: .document, pointer: DocumentView.empty.base, byteCount: DocumentView.empty.byteCount)
    /// The database the command runs in.
    package private(set) var database: UnsafeRawBufferPointer?
    package private(set) var sessionID: SessionID?
    package private(set) var transactionNumber: Int64?
    package private(set) var autocommit: Bool?
    package private(set) var startTransaction = false
    package private(set) var readConcern: DocumentView?
    package private(set) var writeConcern: DocumentView?
    package private(set) var readPreference: DocumentView?
    package private(set) var clusterTime: Timestamp?
    package private(set) var maxTimeMillis: Int64?
    package private(set) var comment: ValueView?
    package private(set) var statementID: Int32?
    package private(set) var statementIDs: DocumentView?
    /// Whether only what Stable API version 1 has may be used.
    package private(set) var isAPIStrict = false
    /// Whether nothing may be used that is deprecated in it.
    package private(set) var refusesDeprecated = false
    private var hasAPIVersion = false
    private var hasAPIOptions = false
    /// Whether an optional field was null: such a field was not given, and is left out of what the command sees.
    private(set) var hasNulls = false
    /// Which of the fields that the command itself declares were given.
    package private(set) var given = FieldTable.Seen()
    /// Whether it says by which placement it was routed, or what only nodes of a sharded cluster say beside that.
    package private(set) var isRouted = false
    /// Whether the command has variables (`let`).
    package private(set) var hasVariables = false
    /// Which of the fields that `read` takes have been met, a bit each.
    private var met: UInt16 = 0

    /// The fields that any command may carry, beside those that `parse` reads in place.
    package static let fields = FieldTable([
        Field("$db", .string, "the database the command runs in"),
        Field("lsid", .object, "the logical session: `{id: UUID}`"),
        Field("txnNumber", .long, "the number of a retryable write within its session"),
        Field("stmtId", .number, "the number of the first statement of a retryable write"),
        Field("stmtIds", .array, "the numbers of the statements of a retryable write"),
        Field("readConcern", .object, "`{level, afterClusterTime, atClusterTime}`"),
        Field("writeConcern", .object, "`{w, j, wtimeout}`"),
        Field("$readPreference", .object, "which members may answer"),
        Field("$clusterTime", .object, "the newest cluster time that the client has seen"),
        Field("maxTimeMS", .number, "milliseconds after which the command ends with MaxTimeMSExpired"),
        Field("comment", .any, "shown by currentOp and the profiler"),
        Field("apiVersion", .string, "the Stable API version: \"1\""),
        Field("apiStrict", .bool, "refuses what is not part of the Stable API"),
        Field("apiDeprecationErrors", .bool, "refuses what the Stable API has, but deprecated"),
        .missing("$queryOptions", "a read preference wrapped as in OP_QUERY"),
        .inert("$client", .object, because: "routers pass on who their client is"),
        .inert("clientOperationKey", .any, because: "a client's own name for the operation"),
        .missing("startTransaction", "multi-document transactions"),
        .missing("autocommit", "multi-document transactions"),
        Field(
            "shardVersion", .object, "`{t, v}`: the placement that a router has routed by; from nodes of the cluster"),
        Field("databaseVersion", .object, "`{timestamp, lastMod}`: the same for what is not sharded"),
        Field("$configTime", .timestamp, "the newest time of the config servers that the sender knows of"),
        Field("$topologyTime", .timestamp, "when the list of shards last changed, as the sender knows it"),
        .missing("$audit", "impersonation by routers"),
        .missing("$configServerState", "sharding"),
        .missing("allowImplicitCollectionCreation", "sharding"),
        .missing("mayBypassWriteBlocking", "blocking of user writes"),
        .missing("maxTimeMSOpOnly", "a time limit of routers"),
        .missing("tracking_info", "tracking of routers' requests"),
        .missing("rawData", "reading the buckets of time series", unlessFalsy: true),
        .missing("help", "help on one command; see docs/compatibility.md", unlessFalsy: true),
    ])

    private static let routedMarks = fields.marks(of: "shardVersion", "databaseVersion", "$configTime", "$topologyTime")

    /// Whether any command may carry a field of that name.
    package static func isGeneric(_ key: KeyView) -> Bool { fields.contains(key) }

    /// Reads the fields of `command` that all commands may have, and checks its own against their declarations.
    /// - Throws: `TypeMismatch`, `InvalidOptions`, `BadValue` for a generic field of the wrong type or value, and what
    ///   `FieldTable` throws.
    package static func parse(
        _ body: DocumentView, _ command: RegisteredCommand, hasSequence: (StaticString) -> Bool = { _ in false }
    ) throws(ServerError) -> GenericArguments {
        var arguments = GenericArguments()
        var seen = FieldTable.Seen()
        var seenGeneric = FieldTable.Seen()
        var elements = body.makeIterator()
        if let first = elements.next() { arguments.argument = first.value }
        while let element = elements.next() {
            if try arguments.read(element, command) { continue }
            if try command.fields.take(element, &seen, at: "\(command.name)") {
                if command.fields.isOpen, fields.contains(element.key) {
                    _ = try fields.take(element, &seenGeneric, at: "\(command.name)")
                }
                continue
            }
            guard try fields.take(element, &seenGeneric, at: "\(command.name)") else {
                if let first = body.first, first.key == element.key {
                    throw FieldTable.duplicate(element.key, at: "\(command.name)")
                }
                throw FieldTable.unknown(element.key, at: "\(command.name)")
            }
            try arguments.readAPI(element)
        }
        arguments.given = seen
        arguments.isRouted = seenGeneric.contains(routedMarks)
        arguments.hasVariables = seen.contains(command.variablesMark)
        arguments.hasNulls = seen.hasNulls || seenGeneric.hasNulls
        // What is null was not counted as given, and of what nobody declared nobody knows.
        if arguments.hasNulls || command.fields.isOpen && !command.traits.contains(.memberOnly) {
            try checkDuplicates(body, command)
        }
        if !seen.hasAllRequired(of: command.fields) {
            try command.fields.checkComplete(seen, at: "\(command.name)", hasSequence: hasSequence)
        }
        if arguments.hasAPIOptions, !arguments.hasAPIVersion {
            throw ServerError(
                ErrorCode(rawValue: 4_886_600),
                "Provided apiStrict and/or apiDeprecationErrors without passing apiVersion")
        }
        if arguments.isAPIStrict { try command.checkStable(body) }
        if arguments.refusesDeprecated { try command.checkNotDeprecated() }
        return arguments
    }

    /// Its bytes are elsewhere now.
    mutating func move(_ move: ByteMove) {
        argument = move(argument)
        database = database.map { move($0) }
        readConcern = readConcern.map { move($0) }
        writeConcern = writeConcern.map { move($0) }
        readPreference = readPreference.map { move($0) }
        comment = comment.map { move($0) }
        statementIDs = statementIDs.map { move($0) }
    }

    private static func checkDuplicates(_ body: DocumentView, _ command: RegisteredCommand) throws(ServerError) {
        var names: Set<String> = []
        for element in body where !names.insert(element.key.string).inserted {
            throw FieldTable.duplicate(element.key, at: "\(command.name)")
        }
    }

    /// Reads a field that the node itself acts on; false when it is none, or is null.
    private mutating func read(
        _ element: DocumentView.Element, _ command: RegisteredCommand
    ) throws(ServerError) -> Bool {
        let bit: UInt16
        if element.value.isNullish, !(element.key == "comment") { return false }
        switch element.key.count {
        case 3 where element.key == "$db":
            guard element.value.type == .string else { throw wrongType("$db", element.value, "string") }
            database = element.value.asStringBytes
            bit = 1 << 0
        case 4 where element.key == "lsid":
            sessionID = try SessionID(argument: element.value)
            bit = 1 << 1
        case 6 where element.key == "stmtId":
            statementID = try GenericArguments.int32("stmtId", element.value)
            bit = 1 << 2
        case 7 where element.key == "stmtIds":
            guard let ids = element.value.asArray else { throw wrongType("stmtIds", element.value, "array") }
            statementIDs = ids
            bit = 1 << 3
        case 7 where element.key == "comment":
            comment = element.value
            bit = 1 << 4
        case 9 where element.key == "txnNumber":
            guard let number = element.value.asInt64 else { throw wrongType("txnNumber", element.value, "long") }
            guard number >= 0 else { throw ServerError(.invalidOptions, "Transaction number cannot be negative") }
            transactionNumber = number
            bit = 1 << 5
        case 9 where element.key == "maxTimeMS":
            maxTimeMillis = try GenericArguments.maxTime(element.value)
            bit = 1 << 6
        case 10 where element.key == "autocommit":
            guard let flag = element.value.asBool else { throw wrongType("autocommit", element.value, "bool") }
            autocommit = flag
            bit = 1 << 7
        case 11 where element.key == "readConcern":
            readConcern = try GenericArguments.object("readConcern", element)
            bit = 1 << 8
        case 12 where element.key == "writeConcern":
            writeConcern = try GenericArguments.object("writeConcern", element)
            bit = 1 << 9
        case 12 where element.key == "$clusterTime":
            clusterTime = try GenericArguments.clusterTime(element.value)
            bit = 1 << 10
        case 15 where element.key == "$readPreference":
            readPreference = try GenericArguments.object("$readPreference", element)
            bit = 1 << 11
        case 16 where element.key == "startTransaction":
            startTransaction = element.value.isTruthy
            bit = 1 << 12
        default: return false
        }
        guard met & bit == 0 else { throw FieldTable.duplicate(element.key, at: "\(command.name)") }
        met |= bit
        return true
    }

    private mutating func readAPI(_ element: DocumentView.Element) throws(ServerError) {
        guard !element.value.isNullish else { return }
        switch element.key {
        case "apiVersion":
            guard element.value.asString == "1" else {
                throw ServerError(
                    .apiVersionError, "API version must be \"1\"; got \"\(element.value.asString ?? "")\"")
            }
            hasAPIVersion = true
        case "apiStrict":
            isAPIStrict = element.value.asBool ?? false
            hasAPIOptions = true
        case "apiDeprecationErrors":
            refusesDeprecated = element.value.asBool ?? false
            hasAPIOptions = true
        default: break
        }
    }

    private static func object(
        _ name: String, _ element: DocumentView.Element
    ) throws(ServerError) -> DocumentView {
        guard let view = element.value.asDocument else { throw wrongType(name, element.value, "object") }
        return view
    }

    private static func int32(_ name: String, _ value: ValueView) throws(ServerError) -> Int32 {
        guard let number = value.asInteger, let narrow = Int32(exactly: number) else {
            throw wrongType(name, value, "int")
        }
        return narrow
    }

    private static func maxTime(_ value: ValueView) throws(ServerError) -> Int64 {
        guard value.type.isNumber else { throw wrongType("maxTimeMS", value, "number") }
        guard let number = value.asInteger else {
            throw ServerError(.failedToParse, "maxTimeMS has non-integral value")
        }
        guard (0...Int64(Int32.max)).contains(number) else {
            throw ServerError(.badValue, "\(number) value for maxTimeMS is out of range [0, 2147483647]")
        }
        return number
    }

    private static func clusterTime(_ value: ValueView) throws(ServerError) -> Timestamp {
        guard let view = value.asDocument else { throw wrongType("$clusterTime", value, "object") }
        guard let inner = view["clusterTime"] else {
            throw ServerError(.noSuchKey, "Missing expected field \"clusterTime\"")
        }
        guard let timestamp = inner.asTimestamp else { throw wrongType("clusterTime", inner, "timestamp") }
        return timestamp
    }
}
