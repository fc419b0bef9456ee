internal import Glibc
internal import Synchronization

/// Lines on standard output and standard error, whole and at once.
enum Console {
    static func print(_ line: String) {
        if let capture { capture.output.withLock { $0.append(line) } } else { put(line, on: 1) }
    }

    static func error(_ line: String) {
        if let capture { capture.errors.withLock { $0.append(line) } } else { put(line, on: 2) }
    }

    private static func put(_ line: String, on descriptor: Int32) {
        var text = line + "\n"
        text.withUTF8 { bytes in _ = write(descriptor, bytes.baseAddress, bytes.count) }
    }

    /// Takes the lines of the current task in place of the descriptors: for tests.
    @TaskLocal static var capture: Capture?

    final class Capture: Sendable {
        let output = Mutex<[String]>([])
        let errors = Mutex<[String]>([])
    }
}
