/// How much a log line matters.
public enum LogLevel: Int, Comparable, Sendable {
    case debug, info, warning, error
    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// Takes lines for people. Not a plug point.
public protocol LogSink: AnyObject {
    /// Lines below this level are not even made.
    var minimumLevel: LogLevel { get }
    /// Takes one line; line breaks and control characters in it are escaped by the sink.
    func write(_ level: LogLevel, _ component: StaticString, _ message: String)
}

extension LogSink {
    @inlinable public func log(_ level: LogLevel, _ component: StaticString, _ message: @autoclosure () -> String) {
        if level >= minimumLevel { write(level, component, message()) }
    }
}

/// A log whose last lines can be asked for (`getLog`).
public protocol RecentLogLines: LogSink {
    /// The last lines, oldest first.
    var recentLines: [String] { get }
    /// The warnings from before the node was started.
    var startupWarnings: [String] { get }
    /// All lines that were written.
    var linesWritten: Int64 { get }
    /// The node is started.
    func endStartup()
}

/// Drops every line.
public final class SilentLog: LogSink {
    public init() {}
    public var minimumLevel: LogLevel { .error }
    public func write(_ level: LogLevel, _ component: StaticString, _ message: String) {}
}
