public import Core

/// What happened in a world, in lines for people: the nodes' logs, the faults, and what checkers found.
///
/// Only the newest lines are kept.
public final class Timeline {
    private var lines: [String] = []
    private var start = 0
    private unowned let world: SimulatedWorld
    /// How many lines are kept.
    public static let linesMax = 3000

    public init(_ world: SimulatedWorld) { self.world = world }

    /// Adds a line at the present instant.
    public func add(_ who: String, _ what: String) {
        let milliseconds = world.now.nanoseconds / 1_000_000
        let fraction = String(milliseconds % 1000)
        let stamp = "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
        let line = String(repeating: " ", count: max(0, 9 - stamp.count)) + stamp + "  \(who)  \(what)"
        if lines.count < Self.linesMax {
            lines.append(line)
        } else {
            lines[start] = line
            start = (start + 1) % Self.linesMax
        }
    }

    /// The newest lines, oldest first; all that are kept unless told otherwise.
    public func last(_ count: Int = Timeline.linesMax) -> [String] {
        Array((lines[start...] + lines[..<start]).suffix(count))
    }

    /// A log of a node that ends up here.
    public func sink(for node: String, minimumLevel: LogLevel = .info) -> any LogSink {
        TimelineSink(self, node, minimumLevel)
    }
}

private final class TimelineSink: LogSink {
    private let timeline: Timeline
    private let node: String
    let minimumLevel: LogLevel

    init(_ timeline: Timeline, _ node: String, _ minimumLevel: LogLevel) {
        self.timeline = timeline
        self.node = node
        self.minimumLevel = minimumLevel
    }

    func write(_ level: LogLevel, _ component: StaticString, _ message: String) {
        timeline.add(node, level >= .warning ? "\(component) [\(level)]: \(message)" : "\(component): \(message)")
    }
}
