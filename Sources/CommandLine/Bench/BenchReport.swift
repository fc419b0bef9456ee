internal import BSON
internal import Core

/// What a benchmark has measured.
struct BenchReport: Sendable {
    let settings: BenchSettings
    let server: Endpoint
    let elapsed: Duration
    let histogram: LatencyHistogram
    let errors: UInt64
    let firstError: String?

    var operations: UInt64 { histogram.count }
    var operationsPerSecond: Double {
        let seconds = Double(elapsed.nanoseconds) / 1e9
        return seconds > 0 ? Double(operations) / seconds : 0
    }

    private var latencies: [(name: String, nanoseconds: Int64)] {
        [
            ("p50", histogram.nanoseconds(at: 0.5)), ("p95", histogram.nanoseconds(at: 0.95)),
            ("p99", histogram.nanoseconds(at: 0.99)), ("p99.9", histogram.nanoseconds(at: 0.999)),
            ("max", histogram.maximum),
        ]
    }

    /// For people.
    var text: String {
        let latency = latencies.map { "\($0.name) \(Self.microseconds($0.nanoseconds))" }.joined(separator: "  ")
        var lines = [
            "workload    \(settings.workload.rawValue), write concern \(settings.writeConcern), on \(server)",
            "setup       \(settings.connections) connections, \(settings.keys) keys, documents of "
                + "\(settings.documentBytes) bytes, \(Self.fixed(Double(elapsed.nanoseconds) / 1e9, digits: 1)) s",
            "throughput  \(Self.fixed(operationsPerSecond, digits: 0)) operations/s "
                + "(\(operations) operations, \(errors) errors)",
            "latency µs  \(latency)",
        ]
        if let firstError { lines.append("first error \(firstError)") }
        return lines.joined(separator: "\n")
    }

    /// One line for programs.
    var json: String {
        var fields = [
            ("workload", Self.quoted(settings.workload.rawValue)), ("server", Self.quoted(server.description)),
            ("write_concern", Self.quoted(settings.writeConcern)), ("connections", "\(settings.connections)"),
            ("keys", "\(settings.keys)"), ("document_bytes", "\(settings.documentBytes)"),
            ("seconds", Self.fixed(Double(elapsed.nanoseconds) / 1e9, digits: 3)), ("operations", "\(operations)"),
            ("errors", "\(errors)"), ("operations_per_second", Self.fixed(operationsPerSecond, digits: 1)),
        ]
        fields += latencies.map { ("\($0.name.replacing(".", with: "_"))_us", Self.microseconds($0.nanoseconds)) }
        fields.append(("first_error", firstError.map(Self.quoted) ?? "null"))
        return "{" + fields.map { "\(Self.quoted($0.0)): \($0.1)" }.joined(separator: ", ") + "}"
    }

    private static func microseconds(_ nanoseconds: Int64) -> String { fixed(Double(nanoseconds) / 1000, digits: 1) }

    /// A number of at least zero with so many digits behind the point.
    static func fixed(_ number: Double, digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        guard number.isFinite, number >= 0, number * scale < 9e18 else { return "0" }
        let scaled = UInt64((number * scale).rounded())
        guard digits > 0 else { return "\(scaled)" }
        let (whole, rest) = scaled.quotientAndRemainder(dividingBy: UInt64(scale))
        let decimals = "\(rest)"
        return "\(whole)." + String(repeating: "0", count: digits - decimals.utf8.count) + decimals
    }

    /// A string of JSON.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
