internal import BSON
internal import Core
internal import Data
internal import Frontend

/// Where a node meets its fail points. Nothing here runs while none is on.
extension Node {
    /// What `onPrimaryTransactionalWrite` does to each statement of a retryable write; nil when it is off.
    func retryableWriteCheck(_ connection: ClientConnection) -> (() throws -> Void)? {
        guard frontend.failPoints.isActive else { return nil }
        return { [unowned self, unowned connection] in
            guard let settings = frontend.failPoints.fires(.onPrimaryTransactionalWrite, runtime) else { return }
            if settings.closesConnection ?? true {
                connection.close(because: "the fail point onPrimaryTransactionalWrite says so")
            }
            if let code = settings.failBeforeCommit { throw InjectedFailure(code, .onPrimaryTransactionalWrite) }
        }
    }

    /// What `failGetMoreAfterCursorCheckout` does to a `getMore` that has found its cursor.
    func checkGetMore(_ connection: ClientConnection) throws {
        guard frontend.failPoints.isActive,
            let settings = frontend.failPoints.fires(.failGetMoreAfterCursorCheckout, runtime)
        else {
            return
        }
        if settings.closesConnection == true {
            connection.close(because: "the fail point failGetMoreAfterCursorCheckout says so")
        }
        let code = settings.errorCode ?? .internalError
        throw InjectedFailure(code, .failGetMoreAfterCursorCheckout, labels: settings.errorLabels)
    }
}
