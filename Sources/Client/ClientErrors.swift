public import BSON
public import Core

/// What every error of the client tells: labels as MongoDB's drivers name them (`RetryableWriteError` …).
public protocol ClientError: Error, CustomStringConvertible {
    var labels: [String] { get }
}

extension ClientError {
    /// Whether the server, or the client itself, gave it that label.
    public func hasLabel(_ label: String) -> Bool { labels.contains(label) }
}

/// The connection to a server could not be made, broke, or did not answer in time. Whether the server carried out what
/// it was asked is not known.
public struct NetworkError: ClientError {
    /// What happened to the connection.
    public enum Kind: Sendable { case unreachable, closed, timedOut, poolCleared, protocolViolation }

    /// The server.
    public let address: Endpoint
    /// What happened.
    public let kind: Kind
    /// What went wrong, in a sentence.
    public let message: String
    public internal(set) var labels: [String] = []
    public var description: String { "\(address): \(message)" }
}

/// No server could take the operation in time.
public struct ServerSelectionTimeout: ClientError {
    /// What went wrong, in a sentence.
    public let message: String
    public var labels: [String] { [] }
    public var description: String { message }
}

/// The client cannot do this, or not any more: closed, used wrongly, or the server is too old.
public struct ClientUsageError: ClientError {
    /// What went wrong, in a sentence.
    public let message: String
    public var labels: [String] { [] }
    public var description: String { message }
}

/// A command that the server answered with `ok: 0`.
public struct CommandError: ClientError {
    /// MongoDB's code.
    public let code: ErrorCode
    /// The code's name, as the server gave it.
    public let codeName: String
    /// What went wrong, in a sentence.
    public let message: String
    /// The labels that the server gave it.
    public let labels: [String]
    /// The server that answered so.
    public let address: Endpoint
    /// The whole reply.
    public let reply: Document
    public var description: String { "\(codeName) (\(code.rawValue)) from \(address): \(message)" }
}

/// One statement of a write that the server refused.
public struct WriteError: ClientError {
    /// Which statement, counting from 0.
    public let index: Int
    /// MongoDB's code.
    public let code: ErrorCode
    /// What went wrong, in a sentence.
    public let message: String
    /// The server's whole description of it.
    public let details: Document?
    public var labels: [String] { [] }
    /// Whether a unique index refused it.
    public var isDuplicateKey: Bool { code == .duplicateKey }
    public var description: String { "statement \(index): \(message) (\(code.rawValue))" }
}

/// A write of one document that would have broken a unique index.
public struct DuplicateKeyError: ClientError {
    /// What went wrong, in a sentence.
    public let message: String
    /// The index's keys, when the server said so.
    public let keyPattern: Document?
    /// The values that are there already.
    public let keyValue: Document?
    public var labels: [String] { [] }
    public var description: String { message }
}

/// A write that was carried out, but not confirmed by as many members as it asked for.
public struct WriteConcernError: ClientError {
    /// MongoDB's code.
    public let code: ErrorCode
    /// What went wrong, in a sentence.
    public let message: String
    /// The labels that the server gave it.
    public let labels: [String]
    /// Whether time ran out, rather than the concern being impossible.
    public let isTimeout: Bool
    public var description: String { "write concern: \(message) (\(code.rawValue))" }
}

/// A write of several documents of which some were refused.
public struct BulkWriteError: ClientError {
    /// How many statements were carried out.
    public let completedCount: Int
    /// The statements that were refused, in order.
    public let writeErrors: [WriteError]
    /// Why what was carried out was not confirmed, if it was not.
    public let writeConcernError: WriteConcernError?
    public var labels: [String] { writeConcernError?.labels ?? [] }
    public var description: String {
        "\(writeErrors.count) statements failed, \(completedCount) were carried out; the first: "
            + (writeErrors.first?.description ?? writeConcernError?.description ?? "none")
    }
}

extension ErrorCode {
    /// The server is no longer, or not yet, what the client took it for.
    var isStateChange: Bool {
        switch self {
        case .notWritablePrimary, .notPrimaryNoSecondaryOk, .notPrimaryOrSecondary, .primarySteppedDown,
            .interruptedDueToReplStateChange:
            true
        default: isShutdown
        }
    }

    /// The server is going away.
    var isShutdown: Bool { self == .interruptedAtShutdown || self == .shutdownInProgress }

    /// A read that failed so may succeed elsewhere (retryable-reads specification).
    var isRetryableRead: Bool {
        switch self {
        case .hostUnreachable, .hostNotFound, .networkTimeout, .exceededTimeLimit,
            .readConcernMajorityNotAvailableYet:
            true
        default: isStateChange || rawValue == 9001
        }
    }
}
