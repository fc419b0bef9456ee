public import BSON

/// MongoDB's numeric error codes, as clients see them (`code`, `codeName`).
public struct ErrorCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    init(_ rawValue: Int32) { self.rawValue = rawValue }
}

/// A command's failure as it is sent to the client.
public struct ServerError: Error, Sendable, CustomStringConvertible {
    public var code: ErrorCode
    public var message: String
    /// `errorLabels` beyond those that the reply adds by rule (`RetryableWriteError` …).
    public var labels: [String]
    /// Further fields of the reply or write error, such as `keyPattern` and `keyValue`.
    public var details: Document?

    public init(_ code: ErrorCode, _ message: String, labels: [String] = [], details: Document? = nil) {
        self.code = code
        self.message = message
        self.labels = labels
        self.details = details
    }

    public var description: String { "\(code.name) (\(code.rawValue)): \(message)" }
}

/// The error for an argument of the wrong BSON type, in MongoDB's words.
package func wrongType(_ field: String, _ value: ValueView, _ expected: String) -> ServerError {
    ServerError(
        .typeMismatch,
        "BSON field '\(field)' is the wrong type '\(value.type.operatorName)', expected type '\(expected)'")
}
