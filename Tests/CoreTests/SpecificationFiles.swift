import Foundation

/// The drivers' specification files, which are not part of the project: found by the environment variable QUORATE_SPEC.
enum SpecificationFiles {
    struct File: CustomStringConvertible, Sendable {
        let path: String
        let root: String
        var description: String { String(path.dropFirst(root.count + 1)) }

        func load() throws -> [String: Any] {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        }
    }

    static var root: String? { ProcessInfo.processInfo.environment["QUORATE_SPEC"] }

    /// All JSON files under a folder, sorted.
    static func under(_ folder: String) -> [File] {
        guard let root, let walk = FileManager.default.enumerator(atPath: "\(root)/\(folder)") else { return [] }
        return walk.compactMap { $0 as? String }.filter { $0.hasSuffix(".json") }.sorted()
            .map { File(path: "\(root)/\(folder)/\($0)", root: root) }
    }
}
