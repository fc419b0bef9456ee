import Foundation
import Testing

/// Runs a Python script on lines of input, as an independent source of truth for arithmetic.
enum PythonOracle {
    /// The lines the script prints, or nil where there is no Python.
    static func run(_ script: String, _ lines: [String]) throws -> [String]? {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let input = directory.appendingPathComponent("input")
        let output = directory.appendingPathComponent("output")
        try lines.joined(separator: "\n").write(to: input, atomically: false, encoding: .utf8)
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", script]
        process.standardInput = try FileHandle(forReadingFrom: input)
        process.standardOutput = try FileHandle(forWritingTo: output)
        do { try process.run() } catch { return nil }
        process.waitUntilExit()
        guard process.terminationStatus != 127 else { return nil }
        try #require(process.terminationStatus == 0, "the Python script failed")
        return try String(contentsOf: output, encoding: .utf8).split(separator: "\n").map(String.init)
    }
}
