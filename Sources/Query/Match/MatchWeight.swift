import BSON
import Core

/// What matching one document with a condition may take.
struct MatchWeight {
    /// Conditions, each of which may look at all of the document.
    var conditions: Int
    /// Whether it may take long on one document, however short.
    var mayTakeLong = false

    static let one = MatchWeight(conditions: 1)
    static let long = MatchWeight(conditions: 1, mayTakeLong: true)
    /// A regular expression on what is not long.
    static let pattern = MatchWeight(conditions: Limits.matchedAtOnceBytesMax / Limits.regexShortTextBytesMax)

    static func + (a: MatchWeight, b: MatchWeight) -> MatchWeight {
        MatchWeight(conditions: a.conditions &+ b.conditions, mayTakeLong: a.mayTakeLong || b.mayTakeLong)
    }

    /// The steps of an evaluation that matching something short is worth: a comparison is less than a step.
    var shortSteps: Int { 1 &+ conditions / 4 }

    /// A longer document is matched in steps.
    var bytesAtOnce: Int { mayTakeLong ? 0 : Limits.matchedAtOnceBytesMax / max(conditions, 1) }
}
