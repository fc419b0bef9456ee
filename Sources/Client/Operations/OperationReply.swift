import BSON
import Core

/// Reads the errors out of a command's reply.
enum OperationReply {
    static func labels(_ reply: Document) -> [String] { reply["errorLabels"]?.asArray?.compactMap(\.asString) ?? [] }

    /// The error of an `ok: 0` reply.
    static func commandError(_ reply: Document, _ address: Endpoint) -> CommandError? {
        if reply.withView({ $0["ok"]?.isTruthy }) == true { return nil }
        let code = errorCode(reply["code"])
        return CommandError(
            code: code, codeName: reply["codeName"]?.asString ?? code.name,
            message: reply["errmsg"]?.asString ?? "the server gave no reason", labels: labels(reply), address: address,
            reply: reply)
    }

    static func writeConcernError(_ reply: Document) -> WriteConcernError? {
        guard let fields = reply["writeConcernError"]?.asDocument else { return nil }
        let code = errorCode(fields["code"])
        let saysTimeout = fields["errInfo"]?.asDocument?["wtimeout"]?.asBool ?? false
        return WriteConcernError(
            code: code, message: fields["errmsg"]?.asString ?? code.name, labels: labels(reply),
            isTimeout: saysTimeout || code == .maxTimeMSExpired)
    }

    /// - Parameter offset: what the reply's index 0 is in the whole operation.
    static func writeErrors(_ reply: Document, offset: Int = 0) -> [WriteError] {
        (reply["writeErrors"]?.asArray ?? []).compactMap(\.asDocument).map { fields in
            WriteError(
                index: offset + (fields["index"]?.asInteger.map { Int(clamping: $0) } ?? 0),
                code: errorCode(fields["code"]), message: fields["errmsg"]?.asString ?? "the server gave no reason",
                details: fields)
        }
    }

    /// Throws what a reply to a write of one statement holds of errors.
    static func checkSingleWrite(_ reply: Document) throws {
        if let error = writeErrors(reply).first {
            guard error.isDuplicateKey else { throw error }
            throw DuplicateKeyError(
                message: error.message, keyPattern: error.details?["keyPattern"]?.asDocument,
                keyValue: error.details?["keyValue"]?.asDocument)
        }
        if let error = writeConcernError(reply) { throw error }
    }

    private static func errorCode(_ value: Value?) -> ErrorCode {
        value?.asInteger.flatMap { Int32(exactly: $0) }.map { ErrorCode(rawValue: $0) } ?? .unknownError
    }
}
