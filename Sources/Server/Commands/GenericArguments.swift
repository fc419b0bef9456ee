internal import BSON
internal import Core
internal import Query

/// The fields that any command may carry, found in one walk over the command document. Views into the request.
struct GenericArguments {
    /// The database the command runs in.
    var database: UnsafeRawBufferPointer?
    var sessionID: SessionID?
    var transactionNumber: Int64?
    var autocommit: Bool?
    var startTransaction = false
    var readConcern: DocumentView?
    var writeConcern: DocumentView?
    var readPreference: DocumentView?
    var clusterTime: Timestamp?
    var maxTimeMillis: Int64?
    var comment: ValueView?
    var statementID: Int32?
    var statementIDs: DocumentView?
    var mayBypassWriteBlocking = false

    /// Field names that `parse` takes, for the check for unknown fields.
    static func isGeneric(_ key: KeyView) -> Bool {
        switch key {
        case "$db", "lsid", "txnNumber", "autocommit", "startTransaction", "readConcern", "writeConcern",
            "$readPreference", "$clusterTime", "maxTimeMS", "comment", "apiVersion", "apiStrict",
            "apiDeprecationErrors", "stmtId", "stmtIds", "$audit", "$client", "$configServerState", "$oplogQueryData",
            "$queryOptions", "$replData", "allowImplicitCollectionCreation", "clientOperationKey", "databaseVersion",
            "help", "mayBypassWriteBlocking", "maxTimeMSOpOnly", "tracking_info", "rawData":
            true
        default: false
        }
    }

    /// - Throws: `TypeMismatch`, `InvalidOptions`, `BadValue` for a generic field of the wrong type or value.
    static func parse(_ body: DocumentView) throws(ServerError) -> GenericArguments {
        var arguments = GenericArguments()
        var isFirst = true
        for element in body {
            if isFirst {
                isFirst = false
                continue
            }
            switch element.key.count {
            case 3 where element.key == "$db":
                guard element.value.type == .string else { throw wrongType("$db", element.value, "string") }
                arguments.database = element.value.asStringBytes
            case 4 where element.key == "lsid":
                arguments.sessionID = try SessionID(argument: element.value)
            case 6 where element.key == "stmtId":
                arguments.statementID = try int32("stmtId", element.value)
            case 7 where element.key == "stmtIds":
                arguments.statementIDs = element.value.asArray
            case 7 where element.key == "comment":
                arguments.comment = element.value
            case 9 where element.key == "txnNumber":
                guard let number = element.value.asInt64 else { throw wrongType("txnNumber", element.value, "long") }
                guard number >= 0 else { throw ServerError(.invalidOptions, "Transaction number cannot be negative") }
                arguments.transactionNumber = number
            case 9 where element.key == "maxTimeMS":
                arguments.maxTimeMillis = try maxTime(element.value)
            case 10 where element.key == "autocommit":
                guard let flag = element.value.asBool else { throw wrongType("autocommit", element.value, "bool") }
                arguments.autocommit = flag
            case 11 where element.key == "readConcern":
                guard let view = element.value.asDocument else {
                    throw wrongType("readConcern", element.value, "object")
                }
                arguments.readConcern = view
            case 12 where element.key == "writeConcern":
                guard let view = element.value.asDocument else {
                    throw wrongType("writeConcern", element.value, "object")
                }
                arguments.writeConcern = view
            case 12 where element.key == "$clusterTime":
                arguments.clusterTime = try clusterTime(element.value)
            case 15 where element.key == "$readPreference":
                guard let view = element.value.asDocument else {
                    throw wrongType("$readPreference", element.value, "object")
                }
                arguments.readPreference = view
            case 16 where element.key == "startTransaction":
                arguments.startTransaction = element.value.isTruthy
            default: break
            }
        }
        return arguments
    }

    private static func int32(_ name: String, _ value: ValueView) throws(ServerError) -> Int32 {
        guard let number = value.asInteger, let narrow = Int32(exactly: number) else {
            throw wrongType(name, value, "int")
        }
        return narrow
    }

    private static func maxTime(_ value: ValueView) throws(ServerError) -> Int64 {
        guard value.type.isNumber else { throw ServerError(.badValue, "maxTimeMS must be a number") }
        guard let number = value.asInteger else { throw ServerError(.badValue, "maxTimeMS has non-integral value") }
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

/// The error for an argument of the wrong BSON type, in MongoDB's words.
func wrongType(_ field: String, _ value: ValueView, _ expected: String) -> ServerError {
    ServerError(
        .typeMismatch,
        "BSON field '\(field)' is the wrong type '\(value.type.operatorName)', expected type '\(expected)'")
}
