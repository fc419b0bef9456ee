internal import BSON
package import Core

/// The fail points of a node: places where a test can make it fail. All are off unless `configureFailPoint` sets one,
/// which takes `enableTestCommands`.
package final class FailPoints {
    /// Where a node can be made to fail.
    package enum Name: String, CaseIterable {
        /// A command, before it runs or in its reply.
        case failCommand
        /// A `getMore` that has found its cursor.
        case failGetMoreAfterCursorCheckout
        /// A statement of a retryable write, when it is about to be committed.
        case onPrimaryTransactionalWrite
        /// A command with `maxTimeMS`: its time is over at once.
        case maxTimeAlwaysTimeOut
        /// A command with `maxTimeMS`: its time is never over.
        case maxTimeNeverTimeOut
        /// A secondary, about to fetch entries: it does not.
        case stopReplProducer
        /// A secondary, about to apply entries: it does not, and fetches no further.
        case rsSyncApplyStop
    }

    private struct FailPoint {
        var mode: FailPointMode
        var settings: FailPointSettings
        /// How often it has fired since the node started.
        var fired: Int64
    }

    private var points: [Name: FailPoint] = [:]
    /// Whether any is on: all that the way of a request looks at.
    package private(set) var isActive = false

    /// Called when one was set: what it held up may go on.
    package var onChange: (() -> Void)?

    /// Sets one anew. Returns how often it had fired before.
    func configure(_ name: Name, _ mode: FailPointMode, _ settings: FailPointSettings) -> Int64 {
        let fired = points[name]?.fired ?? 0
        points[name] = FailPoint(mode: mode, settings: settings, fired: fired)
        isActive = points.values.contains { !$0.mode.isOff }
        onChange?()
        return fired
    }

    /// Whether one is on, for those that hold something up as long as they are.
    package func isOn(_ name: Name) -> Bool { isActive && points[name]?.mode.isOff == false }

    /// What a fail point is to do, when it is on, means this occasion, and fires.
    package func fires(
        _ name: Name, _ runtime: any NodeRuntime, where isMeant: (FailPointSettings) -> Bool = { _ in true }
    ) -> FailPointSettings? {
        guard var point = points[name], !point.mode.isOff, isMeant(point.settings) else { return nil }
        let fires = point.mode.fires(runtime)
        if fires { point.fired += 1 }
        points[name] = point
        if point.mode.isOff { isActive = points.values.contains { !$0.mode.isOff } }
        return fires ? point.settings : nil
    }
}

/// A failure that a fail point asked for. Not a `ServerError`: a statement that meets one is not skipped, the whole
/// command fails.
package struct InjectedFailure: Error {
    package let error: ServerError
    /// The reply's labels are those of `error` and no others.
    package let replacesLabels: Bool

    package init(_ code: ErrorCode, _ name: FailPoints.Name, labels: [String]? = nil) {
        error = ServerError(code, "Failing command via '\(name.rawValue)' failpoint", labels: labels ?? [])
        replacesLabels = labels != nil
    }
}
