public import Core

/// Hands lines on and keeps the last ones of one node, for `getLog`.
public final class RecentLog: RecentLogLines {
    private let next: any LogSink
    /// A ring, once it is full.
    private var lines: [[UInt8]] = []
    private var oldest = 0
    public private(set) var linesWritten: Int64 = 0
    private var warnings: [[UInt8]] = []
    private var isStarting = true

    public init(_ next: any LogSink) { self.next = next }

    public var minimumLevel: LogLevel { next.minimumLevel }

    public func write(_ level: LogLevel, _ component: StaticString, _ message: String) {
        next.write(level, component, message)
        keep(level, LineLog.line(SystemClock.wallClock, level, component, message))
    }

    func keep(_ level: LogLevel, _ line: [UInt8]) {
        // Without the line break.
        let kept = Array(line.dropLast().prefix(Limits.recentLogLineBytesMax))
        linesWritten += 1
        if isStarting, level >= .warning, warnings.count < Limits.recentLogLinesMax { warnings.append(kept) }
        if lines.count < Limits.recentLogLinesMax {
            lines.append(kept)
        } else {
            lines[oldest] = kept
            oldest = (oldest + 1) % lines.count
        }
    }

    public func endStartup() { isStarting = false }

    public var recentLines: [String] {
        (lines[oldest...] + lines[..<oldest]).map { String(decoding: $0, as: UTF8.self) }
    }
    public var startupWarnings: [String] { warnings.map { String(decoding: $0, as: UTF8.self) } }
}
