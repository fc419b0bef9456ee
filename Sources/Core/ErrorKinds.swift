/// Errors that many places treat alike.
extension ErrorCode {
    /// Errors that end a write command as a whole, whatever statement met them.
    public var concernsCommand: Bool {
        switch self {
        case .transactionTooOld, .incompleteTransactionHistory, .exceededMemoryLimit, .maxTimeMSExpired: true
        default: isStateChange
        }
    }

    /// Errors that say the member's role has changed; they carry the new `topologyVersion`.
    public var isStateChange: Bool {
        switch self {
        case .notWritablePrimary, .notPrimaryNoSecondaryOk, .notPrimaryOrSecondary, .primarySteppedDown,
            .interruptedDueToReplStateChange, .interruptedAtShutdown, .shutdownInProgress:
            true
        default: false
        }
    }
}
