internal import Core
internal import Simulation

/// How a worker of a sweep tells what became of a seed: lines of text.
///
///     begin 17
///     done 17;virtual ms=27000;elections=4;f:crash=2;p:rollback=1
///     failed 18;the reason
///     | a line of the timeline
///     end 18
enum SeedLines {
    enum Line {
        case begin(UInt64)
        case done(UInt64, [(name: String, count: Int)])
        case failed(UInt64, String)
        case detail(String)
        case end(UInt64)
    }

    static func begin(_ seed: UInt64) -> String { "begin \(seed)" }

    static func done(_ report: SeedReport) -> String {
        var counts: [(String, Int)] = [
            ("virtual ms", Int(report.virtualTime.wholeMilliseconds)), ("elections", report.elections),
            ("restarts", report.restarts), ("events", Int(clamping: report.events)),
            ("unavailable", report.isAvailable ? 0 : 1),
        ]
        counts += report.faults.map { ("f:\($0.name)", $0.count) }
        counts += report.probes.map { ("p:\($0.name)", $0.count) }
        counts += report.operations.map { ("o:\($0.name)", $0.count) }
        return "done \(report.seed);" + counts.map { "\($0.0)=\($0.1)" }.joined(separator: ";")
    }

    static func failed(_ failure: SeedFailure, lines: Int) -> [String] {
        // One line each, whatever they hold.
        let details =
            (failure.reason.split(separator: "\n").dropFirst().map(String.init)
            + failure.timeline.suffix(lines)).flatMap { $0.split(separator: "\n").map { "| \($0)" } }
        return ["failed \(failure.seed);\(failure.reason.split(separator: "\n").first ?? "")"] + details
            + ["end \(failure.seed)"]
    }

    static func parse(_ line: String) -> Line? {
        if line.hasPrefix("| ") { return .detail(String(line.dropFirst(2))) }
        let parts = line.split(separator: ";", maxSplits: 1).map(String.init)
        let words = parts.first?.split(separator: " ") ?? []
        guard words.count == 2, let seed = UInt64(words[1]) else { return nil }
        switch words[0] {
        case "begin": return .begin(seed)
        case "end": return .end(seed)
        case "failed": return .failed(seed, parts.count > 1 ? parts[1] : "")
        case "done":
            let counts = (parts.count > 1 ? parts[1] : "").split(separator: ";").compactMap { pair in
                pair.lastIndex(of: "=").flatMap { at in
                    Int(pair[pair.index(after: at)...]).map { (name: String(pair[..<at]), count: $0) }
                }
            }
            return .done(seed, counts)
        default: return nil
        }
    }
}
