import Foundation

/// The project's files, as the tidy tests read them.
enum SourceTree {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    struct File: Sendable {
        /// From the root: `Sources/Core/Log.swift`.
        let path: String
        let lines: [String]

        var module: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    }

    /// Swift files below folders of the root, in order of their paths.
    static func swiftFiles(in folders: String...) -> [File] { files(in: folders, endings: ["swift"]) }

    static func files(in folders: [String], endings: [String]) -> [File] {
        var files: [File] = []
        for folder in folders {
            let names = FileManager.default.enumerator(atPath: root.appendingPathComponent(folder).path)
            while let name = names?.nextObject() as? String {
                guard endings.contains(where: { name.hasSuffix("." + $0) }) else { continue }
                if let file = file("\(folder)/\(name)") { files.append(file) }
            }
        }
        return files.sorted { $0.path < $1.path }
    }

    static func file(_ path: String) -> File? {
        guard let text = try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8) else { return nil }
        return File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
    }
}

extension String {
    /// The line without a comment at its end and without what stands in string literals.
    var codeOnly: String {
        var code = ""
        var isInString = false
        var previous: Character = " "
        for character in self {
            if character == "\"", previous != "\\" { isInString.toggle() }
            if !isInString, character == "/", previous == "/" {
                code.removeLast()
                return code
            }
            if !isInString { code.append(character) }
            previous = character
        }
        return code
    }
}
