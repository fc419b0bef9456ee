public import BSON
import Core

/// `electionMetrics` of `serverStatus`: how often this member stood for election and won, by reason, and how its
/// catch-ups ended.
public struct ElectionCounts: Sendable {
    /// How a new primary's catch-up ended.
    enum CatchUpEnd: String, CaseIterable {
        case succeeded = "numCatchUpsSucceeded"
        case alreadyCaughtUp = "numCatchUpsAlreadyCaughtUp"
        case skipped = "numCatchUpsSkipped"
        case timedOut = "numCatchUpsTimedOut"
        case failed = "numCatchUpsFailedWithError"
        case newTerm = "numCatchUpsFailedWithNewTerm"
        case aborted = "numCatchUpsFailedWithReplSetAbortPrimaryCatchUpCmd"
    }

    private var called: [ElectionReason: Int64] = [:]
    private var successful: [ElectionReason: Int64] = [:]
    private var catchUps: [CatchUpEnd: Int64] = [:]
    /// Entries that catch-ups have fetched.
    var catchUpEntries: Int64 = 0

    mutating func stood(_ reason: ElectionReason) { called[reason, default: 0] += 1 }
    mutating func won(_ reason: ElectionReason) { successful[reason, default: 0] += 1 }
    mutating func ended(_ end: CatchUpEnd) { catchUps[end, default: 0] += 1 }

    /// MongoDB's names of the reasons; whoever lost its connection to the primary stands as after a timeout.
    private static let names: [(StaticString, [ElectionReason])] = [
        ("stepUpCmd", [.stepUpRequest, .stepUpRequestSkipDryRun]), ("priorityTakeover", [.priorityTakeover]),
        ("catchUpTakeover", [.catchUpTakeover]),
        ("electionTimeout", [.electionTimeout, .primaryConnectionLost, .initiated]),
    ]

    /// - Parameter stepDowns: those that a higher term has caused.
    public func write(to writer: DocumentWriter, stepDowns: Int64) {
        for (name, reasons) in Self.names {
            writer.document(name) { entry in
                entry.append("called", int64: reasons.reduce(0) { $0 + (called[$1] ?? 0) })
                entry.append("successful", int64: reasons.reduce(0) { $0 + (successful[$1] ?? 0) })
            }
        }
        writer.append("numStepDownsCausedByHigherTerm", int64: stepDowns)
        let count = catchUps.values.reduce(0, +)
        writer.append("numCatchUps", int64: count)
        for end in CatchUpEnd.allCases { writer.append(end.rawValue, .int64(catchUps[end] ?? 0)) }
        writer.append("averageCatchUpOps", double: count == 0 ? 0 : Double(catchUpEntries) / Double(count))
    }
}
