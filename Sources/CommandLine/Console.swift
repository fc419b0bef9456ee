internal import Glibc

/// Lines on standard output and standard error, whole and at once.
enum Console {
    static func print(_ line: String) {
        put(line, on: 1)
    }

    static func error(_ line: String) {
        put(line, on: 2)
    }

    private static func put(_ line: String, on descriptor: Int32) {
        var text = line + "\n"
        text.withUTF8 { bytes in _ = write(descriptor, bytes.baseAddress, bytes.count) }
    }
}
