import Core
import LiveRuntime
import Testing

/// What `getLog` shows: the last lines of a node.
@Suite struct RecentLogTests {
    private let log = RecentLog(SilentLog())

    private func write(_ numbers: Range<Int>, _ level: LogLevel = .info) {
        for number in numbers { log.write(level, "test", "line \(number).") }
    }

    /// The numbers in the lines.
    private static func numbers(_ lines: [String]) -> [Int?] {
        lines.map { line in line.dropLast().split(separator: " ").last.flatMap { Int($0) } }
    }

    @Test("below the limit all lines are kept, oldest first")
    func few() {
        #expect(log.recentLines == [] && log.linesWritten == 0)
        write(0..<3)
        #expect(Self.numbers(log.recentLines) == [0, 1, 2])
        #expect(log.linesWritten == 3)
        #expect(log.recentLines.allSatisfy { $0.contains(" I test line ") && !$0.contains("\n") })
    }

    @Test(
        "beyond the limit the oldest go, however often the ring was filled",
        arguments: [0, 1, Limits.recentLogLinesMax - 1, Limits.recentLogLinesMax, 2 * Limits.recentLogLinesMax + 7])
    func ring(_ more: Int) {
        let count = Limits.recentLogLinesMax + more
        write(0..<count)
        #expect(Self.numbers(log.recentLines) == Array(more..<count).map { $0 })
        #expect(log.linesWritten == Int64(count))
    }

    @Test("a long line is cut at its limit, and control characters do not break it")
    func longLine() throws {
        log.write(.error, "test", "a\nb" + String(repeating: "x", count: 2 * Limits.recentLogLineBytesMax))
        let line = try #require(log.recentLines.first)
        #expect(line.utf8.count == Limits.recentLogLineBytesMax)
        #expect(line.contains(" E test a\\nbx"))
    }

    @Test("startup warnings are the warnings from before the node was started")
    func startup() {
        write(0..<2, .warning)
        write(2..<3, .info)
        write(3..<4, .error)
        log.endStartup()
        write(4..<5, .warning)
        write(0..<2 * Limits.recentLogLinesMax)
        #expect(Self.numbers(log.startupWarnings) == [0, 1, 3])
    }
}
