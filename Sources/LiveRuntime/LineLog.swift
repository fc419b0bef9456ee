public import Core
import Glibc

/// Writes one line for each entry to a file descriptor: `2026-11-20T12:00:00.000Z I component message`.
///
/// A line is one `write`, so loops that share the descriptor do not mix theirs. Control characters of a message are
/// escaped: an entry cannot forge another one. A descriptor that takes nothing loses the line, never holds up the node.
public final class LineLog: LogSink, Sendable {
    public let minimumLevel: LogLevel
    private let descriptor: Int32

    /// - Parameter descriptor: stays open as long as the log is used; the log does not close it. 2 is stderr.
    public init(descriptor: Int32 = 2, minimumLevel: LogLevel = .info) {
        self.descriptor = descriptor
        self.minimumLevel = minimumLevel
    }

    public func write(_ level: LogLevel, _ component: StaticString, _ message: String) {
        let line = Self.line(SystemClock.wallClock, level, component, message)
        line.withUnsafeBytes { bytes in
            var rest = bytes
            while let start = rest.baseAddress, !rest.isEmpty {
                let count = Glibc.write(descriptor, start, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }

    static func line(_ time: WallTime, _ level: LogLevel, _ component: StaticString, _ message: String) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(48 + component.utf8CodeUnitCount + message.utf8.count)
        appendTime(time, to: &line)
        line.append(UInt8(ascii: " "))
        line.append(letter(of: level))
        line.append(UInt8(ascii: " "))
        component.withUTF8Buffer { line.append(contentsOf: $0) }
        line.append(UInt8(ascii: " "))
        for byte in message.utf8 { appendEscaped(byte, to: &line) }
        line.append(UInt8(ascii: "\n"))
        return line
    }

    private static func letter(of level: LogLevel) -> UInt8 {
        switch level {
        case .debug: UInt8(ascii: "D")
        case .info: UInt8(ascii: "I")
        case .warning: UInt8(ascii: "W")
        case .error: UInt8(ascii: "E")
        }
    }

    private static func appendEscaped(_ byte: UInt8, to line: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\n"): line.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "n")])
        case UInt8(ascii: "\r"): line.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "r")])
        case UInt8(ascii: "\t"): line.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "t")])
        case 0..<0x20, 0x7F:
            let digits = Array("0123456789abcdef".utf8)
            line.append(contentsOf: [
                UInt8(ascii: "\\"), UInt8(ascii: "x"), digits[Int(byte >> 4)], digits[Int(byte & 15)],
            ])
        default: line.append(byte)
        }
    }

    private static func appendTime(_ time: WallTime, to line: inout [UInt8]) {
        var seconds = time_t(time.milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func append(_ number: Int, digits: Int, then separator: Character) {
            let text = String(number)
            for _ in 0..<max(digits - text.utf8.count, 0) { line.append(UInt8(ascii: "0")) }
            line.append(contentsOf: text.utf8)
            line.append(contentsOf: separator.utf8)
        }
        append(Int(parts.tm_year) + 1900, digits: 4, then: "-")
        append(Int(parts.tm_mon) + 1, digits: 2, then: "-")
        append(Int(parts.tm_mday), digits: 2, then: "T")
        append(Int(parts.tm_hour), digits: 2, then: ":")
        append(Int(parts.tm_min), digits: 2, then: ":")
        append(Int(parts.tm_sec), digits: 2, then: ".")
        append(Int(time.milliseconds % 1000), digits: 3, then: "Z")
    }
}
