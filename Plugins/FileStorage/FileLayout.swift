import Core

/// What lies where in a data directory:
///
/// - `lock`: who holds it
/// - `manifest`: what is valid, and through which batch (`Manifest`)
/// - `journal/N`: segments of the journal (`JournalFormat`); `journal/spare-N`: files that can become one
/// - `runs/N`: sorted operations (`RunFormat`)
/// - `oplog/N`: frames of oplog entries (`LogFrame`), one behind the other
struct FileLayout: Sendable {
    let root: String

    var lock: String { "\(root)/lock" }
    var manifest: String { "\(root)/manifest" }
    var newManifest: String { "\(root)/manifest.new" }
    var journal: String { "\(root)/journal" }
    var runs: String { "\(root)/runs" }
    var oplog: String { "\(root)/oplog" }
    /// For `rollback` files of the member.
    static let others: Set<String> = ["rollback"]

    static let names: Set<String> = ["lock", "manifest", "manifest.new", "journal", "runs", "oplog"]
    static let sparePrefix = "spare-"

    func segment(_ number: UInt64) -> String { "\(journal)/\(number)" }
    func spare(_ number: UInt64) -> String { "\(journal)/\(FileLayout.sparePrefix)\(number)" }
    func run(_ number: UInt64) -> String { "\(runs)/\(number)" }
    func oplogSegment(_ number: UInt64) -> String { "\(oplog)/\(number)" }
}
