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
    /// What may be there when there is no manifest: a start that was cut off, or files of a node.
    static let names = DataDirectory.namesOfNodes
        .union(["lock", "manifest", "manifest.new", "journal", "runs", "oplog"])
    static let sparePrefix = "spare-"

    /// The number that a file is called by; nil for one that nobody here gives.
    static func number(_ name: some StringProtocol) -> UInt64? { UInt64(name).flatMap { $0 < 1 << 62 ? $0 : nil } }

    func segment(_ number: UInt64) -> String { "\(journal)/\(number)" }
    func spare(_ number: UInt64) -> String { "\(journal)/\(FileLayout.sparePrefix)\(number)" }
    func run(_ number: UInt64) -> String { "\(runs)/\(number)" }
    func oplogSegment(_ number: UInt64) -> String { "\(oplog)/\(number)" }
}
