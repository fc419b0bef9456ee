package import BSON
package import Core

/// What a fail point does and to whom: the `data` of `configureFailPoint`.
package struct FailPointSettings {
    /// `failCommands`: names of commands.
    package internal(set) var commands: Set<String> = []
    /// `errorCode`: the command is not run and fails with it.
    package internal(set) var errorCode: ErrorCode?
    /// `closeConnection`; nil when not given, for the fail points differ in what they then do.
    package internal(set) var closesConnection: Bool?
    /// `writeConcernError`: the command is run, and its reply says so.
    package internal(set) var writeConcernError: Document?
    /// `errorLabels`: these, instead of those that the error has by rule.
    package internal(set) var errorLabels: [String]?
    /// `blockConnection` with `blockTimeMS`: how long before anything else.
    package internal(set) var blocksFor: Duration?
    /// `appName`: only for clients that call themselves so.
    package internal(set) var applicationName: String?
    /// `failInternalCommands`: for members of the set as well.
    package internal(set) var failsInternalCommands = false
    /// `namespace`: only for commands on that collection.
    package internal(set) var namespace: String?
    /// `failBeforeCommitExceptionCode`: a retryable write is not made and fails with it.
    package internal(set) var failBeforeCommit: ErrorCode?

    /// - Throws: `TypeMismatch`, `BadValue` for fields of the wrong kind and for those that no fail point has.
    init(_ view: DocumentView?) throws(ServerError) {
        guard let view else { return }
        var blocks = false
        var blockTime: Duration?
        for element in view {
            let value = element.value
            let name = element.key.string
            switch element.key {
            case "failCommands": commands = Set(try Self.strings(name, value))
            case "errorCode": errorCode = ErrorCode(rawValue: try Self.int32(name, value))
            case "closeConnection": closesConnection = try Self.bool(name, value)
            case "errorLabels": errorLabels = try Self.strings(name, value)
            case "blockConnection": blocks = try Self.bool(name, value)
            case "blockTimeMS": blockTime = .milliseconds(max(0, try Self.int32(name, value)))
            case "appName": applicationName = try Self.string(name, value)
            case "failInternalCommands": failsInternalCommands = try Self.bool(name, value)
            case "namespace": namespace = try Self.string(name, value)
            case "failBeforeCommitExceptionCode": failBeforeCommit = ErrorCode(rawValue: try Self.int32(name, value))
            case "writeConcernError":
                guard let error = value.asDocument else { throw wrongType("data.\(name)", value, "object") }
                writeConcernError = error.document
            default:
                throw ServerError(.badValue, "'data.\(name)' is not something that a fail point here can be told")
            }
        }
        guard blocks else { return }
        guard let blockTime else {
            throw ServerError(.invalidOptions, "must specify 'blockTimeMS' when 'blockConnection' is true")
        }
        blocksFor = blockTime
    }

    private static func bool(_ name: String, _ value: ValueView) throws(ServerError) -> Bool {
        guard let flag = value.asBool else { throw wrongType("data.\(name)", value, "bool") }
        return flag
    }

    private static func int32(_ name: String, _ value: ValueView) throws(ServerError) -> Int32 {
        guard let number = value.asInteger, let narrow = Int32(exactly: number) else {
            throw wrongType("data.\(name)", value, "int")
        }
        return narrow
    }

    private static func string(_ name: String, _ value: ValueView) throws(ServerError) -> String {
        guard let text = value.asString else { throw wrongType("data.\(name)", value, "string") }
        return text
    }

    private static func strings(_ name: String, _ value: ValueView) throws(ServerError) -> [String] {
        guard let array = value.asArray else { throw wrongType("data.\(name)", value, "array") }
        var all: [String] = []
        for element in array { all.append(try string("\(name).\(element.key.string)", element.value)) }
        return all
    }
}
