import Core

/// Says before each line which member it is of: all members of a process write to one log.
final class MemberLog: LogSink, Sendable {
    private let name: String
    private let sink: any LogSink & Sendable

    init(name: String, sink: any LogSink & Sendable) {
        self.name = name
        self.sink = sink
    }

    var minimumLevel: LogLevel { sink.minimumLevel }
    func write(_ level: LogLevel, _ component: StaticString, _ message: String) {
        sink.write(level, component, "\(name): \(message)")
    }
}
