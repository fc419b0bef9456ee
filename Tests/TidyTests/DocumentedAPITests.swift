import Testing

/// What is public has a doc comment: completely in the modules that users of the framework see, and elsewhere in no
/// fewer places than before.
@Suite struct DocumentedAPITests {
    /// Public declarations without a doc comment, by module. These numbers may only shrink.
    private static let undocumentedMax = [
        "Quorate": 0, "Conformance": 0, "Client": 0, "Wire": 0, "Core": 327, "BSON": 117, "Replication": 206,
        "Data": 96, "Query": 35,
    ]

    @Test("public declarations are documented")
    func documented() {
        let files = SourceTree.swiftFiles(in: "Sources").filter { Self.undocumentedMax[$0.module] != nil }
        #expect(files.count > 100, "the test does not see the sources")
        let requirements = Set(files.flatMap { Self.requirements(of: $0.lines) })
        for (module, most) in Self.undocumentedMax.sorted(by: { $0.key < $1.key }) {
            var missing: [String] = []
            for file in files where file.module == module {
                for number in Self.undocumented(in: file.lines, requirements) {
                    missing.append("\(file.path):\(number + 1)")
                }
            }
            #expect(
                missing.count <= most,
                "\(module) has \(missing.count) undocumented public declarations, \(most) are allowed: \(missing)"
            )
            if missing.count < most { print("DocumentedAPITests: \(module) may be set to \(missing.count)") }
        }
    }

    /// The lines with a public declaration that nothing says anything about.
    static func undocumented(in lines: [String], _ requirements: Set<String> = []) -> [Int] {
        lines.indices.filter { index in
            guard let name = declaredName(lines[index]) else { return false }
            // What a protocol asks for is documented there; operators and what the standard library asks for are known.
            if requirements.contains(name) || known.contains(name) { return false }
            var above = index - 1
            while above >= 0, let first = lines[above].first(where: { $0 != " " }), first == "@" || first == "#" {
                above -= 1
            }
            return above < 0 || !lines[above].drop { $0 == " " }.hasPrefix("///")
        }
    }

    private static let known: Set<String> = [
        "description", "rawValue", "hash", "next", "makeIterator", "makeAsyncIterator", "Element", "Index", "Iterator",
        "buildExpression", "buildBlock", "buildOptional", "buildEither", "buildArray", "init(rawValue:",
    ]

    private static let kinds: Set<String> = [
        "func", "var", "let", "init", "subscript", "struct", "class", "enum", "protocol", "typealias", "actor",
    ]

    /// The name that a public declaration introduces; nil for other lines and for operators.
    static func declaredName(_ line: String) -> String? {
        var words = line.split(separator: " ").drop { $0.hasPrefix("@") }
        guard let access = words.popFirst(), access == "public" || access == "open" else { return nil }
        words = words.drop { !kinds.contains(leadingName($0)) }
        guard let word = words.popFirst() else { return nil }
        let kind = leadingName(word)
        if kind == "init" { return word.hasPrefix("init(rawValue:") ? "init(rawValue:" : kind }
        if kind == "subscript" { return kind }
        let name = words.first.map(leadingName) ?? ""
        return name.isEmpty ? nil : name
    }

    private static func leadingName(_ word: Substring) -> String {
        String(word.prefix { $0.isLetter || $0.isNumber || $0 == "_" })
    }

    /// The names of what the protocols in a file ask for.
    static func requirements(of lines: [String]) -> [String] {
        var names: [String] = []
        var isInside = false
        for line in lines {
            if line.hasPrefix("public protocol ") { isInside = !line.hasSuffix("{}") }
            if line.hasPrefix("}") { isInside = false }
            guard isInside, let match = line.firstMatch(of: /^    (?:static |mutating )*(?:func|var) (\w+)/) else {
                continue
            }
            names.append(String(match.output.1))
        }
        return names
    }

    @Test("declarations and their comments are recognised")
    func recognises() {
        #expect(Self.declaredName("    @inlinable public static func compare(_ a: Int)") == "compare")
        #expect(Self.declaredName("    public private(set) var count = 0") == "count")
        #expect(Self.declaredName("    public init(rawValue: Int)") == "init(rawValue:")
        #expect(Self.declaredName("    public static func < (a: Int, b: Int) -> Bool") == nil)
        #expect(Self.declaredName("public import BSON") == nil)
        #expect(Self.declaredName("    let public = 1") == nil)
        #expect(Self.undocumented(in: ["/// Said.", "@frozen", "public struct A {", "    public var b = 1"]) == [3])
        #expect(Self.undocumented(in: ["    public func flush() {}"], ["flush"]).isEmpty)
        #expect(Self.requirements(of: ["public protocol P {", "    func f()", "}", "    func g()"]) == ["f"])
    }
}
