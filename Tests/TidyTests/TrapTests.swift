import Testing

/// Forms that trap on a value nobody expected, in the modules that values from outside reach: a client's, a peer's, a
/// disk's. Arithmetic that may overflow is for the fuzzer (scripts/fuzz-query) to find; these can be seen in the text.
@Suite struct TrapTests {
    private static let modules: Set<String> = ["BSON", "Wire", "Query", "Data"]
    /// Where a value's type has just been looked at, or a `String` is parsed by an initialiser that answers nil.
    private static let exempt: Set<String> = [
        "Sources/BSON/Value.swift", "Sources/BSON/ValueView.swift",
        "Sources/BSON/ExtendedJSON/ExtendedJSONReader.swift", "Sources/Query/Expression/CivilDate.swift",
    ]

    @Test("nothing is unwrapped by force, narrowed without a rule, or made positive by `abs`")
    func noBareForms() {
        for file in SourceTree.swiftFiles(in: "Sources")
        where Self.modules.contains(file.module) && !Self.exempt.contains(file.path) {
            for (number, line) in file.lines.enumerated() {
                if let form = Self.bareForm(in: line.codeOnly) {
                    Issue.record("\(file.path):\(number + 1) uses \(form)")
                }
            }
        }
    }

    /// The form that may trap, if there is one in a line of code.
    static func bareForm(in code: String) -> String? {
        // The address of memory that is not empty, and a constant address, are always there.
        let code = code.replacing("baseAddress!", with: "").replacing(/bitPattern: \d+\)!/, with: "")
        if code.contains(/[\w\)\]]!(?!=)/) { return "a forced unwrapping" }
        if code.contains(/\babs\(/) { return "abs, which traps on the least integer: use magnitude" }
        // With a label it is said what happens to a value that does not fit.
        if code.contains(/\bU?Int(8|16|32)\((?!\w+:|\d|\s*$)/) { return "a narrowing without a rule" }
        return nil
    }

    @Test("bare forms are found, safe ones are not")
    func findsForms() {
        #expect(Self.bareForm(in: "let a = list.first!") != nil)
        #expect(Self.bareForm(in: "let a = f(x)!.count") != nil)
        #expect(Self.bareForm(in: "let a = Int32(count)") != nil)
        #expect(Self.bareForm(in: "let a = UInt8(value & 7)") != nil)
        #expect(Self.bareForm(in: "let a = abs(value)") != nil)
        #expect(Self.bareForm(in: "let a = Int32(clamping: count), b = Int32(7)") == nil)
        #expect(Self.bareForm(in: "if a != b, !c { memory.baseAddress! }") == nil)
        #expect(Self.bareForm(in: "let a = pointer ?? UnsafeRawPointer(bitPattern: 16)!") == nil)
        #expect(Self.bareForm(in: "let a: Int32 = .max") == nil)
    }
}
