import BSON
import Core

#if canImport(Glibc)
    import Glibc
#endif

/// Comparisons of top-level fields, all of which must hold: one pass over the document tests them together.
final class SimpleConjunction: MatchNode {
    private struct Test {
        let name: UnsafeRawPointer
        let nameCount: Int
        let comparison: Comparison
    }

    /// More than this many tests are walked one by one.
    private static let testsMax = 16
    private let tests: UnsafeMutablePointer<Test>
    private let count: Int
    /// Keeps the names in place.
    private let paths: [CompiledPath]

    /// Nil when `node` is anything but comparisons of fields without dots.
    init?(_ node: MatchNode) {
        let children = (node as? AndNode)?.children ?? [node]
        guard !children.isEmpty, children.count <= SimpleConjunction.testsMax else { return nil }
        var found: [Test] = []
        var paths: [CompiledPath] = []
        for child in children {
            guard let node = child as? PathNode, node.path.count == 1,
                let predicate = node.predicate as? ComparisonPredicate
            else { return nil }
            let name = node.path.parts[0]
            found.append(Test(name: name.base, nameCount: name.count, comparison: predicate.comparison))
            paths.append(node.path)
        }
        self.paths = paths
        count = found.count
        tests = CMemory.allocate(Test.self, count: found.count)
        for (index, test) in found.enumerated() { (tests + index).initialize(to: test) }
    }

    deinit {
        tests.deinitialize(count: count)
        CMemory.free(tests)
    }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        let all: UInt32 = (1 << UInt32(truncatingIfNeeded: count)) - 1
        var seen: UInt32 = 0
        for element in document {
            for index in 0..<count where seen & (1 << UInt32(truncatingIfNeeded: index)) == 0 {
                let test = tests + index
                guard test.pointee.nameCount == element.key.count,
                    memcmp(test.pointee.name, element.key.base, element.key.count) == 0
                else { continue }
                guard holds(test, element.value, &details) else { return false }
                seen |= 1 << UInt32(truncatingIfNeeded: index)
            }
            if seen == all { return true }
        }
        for index in 0..<count where seen & (1 << UInt32(truncatingIfNeeded: index)) == 0 {
            guard tests[index].comparison.matches(nil) else { return false }
        }
        return true
    }

    @inline(__always) private func holds(
        _ test: UnsafeMutablePointer<Test>, _ value: ValueView, _ details: inout MatchDetails
    ) -> Bool {
        guard value.type == .array else { return test.pointee.comparison.matches(value) }
        var index = 0
        for element in DocumentView(base: value.pointer) {
            if test.pointee.comparison.matches(element.value) {
                details.position = index
                return true
            }
            index += 1
        }
        return test.pointee.comparison.matches(value)
    }
}
