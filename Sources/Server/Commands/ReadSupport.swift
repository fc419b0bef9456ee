internal import BSON
internal import Core
internal import Data
internal import Query

/// What all commands that read have in common.
extension CommandContext {
    /// - Throws: `NotPrimaryNoSecondaryOk`, `NotPrimaryOrSecondary`.
    func checkReadable() throws(ServerError) {
        try node.role.checkReadable(arguments, querySecondaryOk: request.querySecondaryOk)
    }
}

extension Node {
    /// Lets everything else that waits for the loop run once.
    func yieldLoop() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            runtime.enqueue { continuation.resume() }
        }
    }
}
