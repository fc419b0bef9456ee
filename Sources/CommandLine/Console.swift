internal import Glibc

/// Lines on standard output and standard error, whole and at once.
enum Console {
    static func print(_ line: String) {
        Swift.print(line)
        fflush(stdout)
    }

    static func error(_ line: String) {
        var text = line + "\n"
        text.withUTF8 { bytes in _ = write(2, bytes.baseAddress, bytes.count) }
    }
}
